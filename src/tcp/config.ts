// Decides the constants of TCP that a user may turn: key, default, and the Linux name where there is one.
// Read with: RFC 9293 §3.8, RFC 6298, RFC 5961, RFC 6928.

export interface TcpConfig {
  /** Congestion controller (Linux: tcp_congestion_control). */
  congestion: 'cubic' | 'reno' | 'lia';
  /** Send buffer limit in bytes (Linux: tcp_wmem[2]). */
  sendBufferBytes: number;
  /** Receive buffer limit in bytes (Linux: tcp_rmem[2]). */
  receiveBufferBytes: number;
  /** A window scale is so coarse that a whole receive buffer is at least so many units (Linux: 32,768). */
  windowUnits: number;
  /** What both begin with; they grow as they are used (Linux: tcp_wmem[1], tcp_rmem[1]). */
  sendBufferInitialBytes: number;
  receiveBufferInitialBytes: number;
  /** Initial congestion window in segments (RFC 6928). */
  initialWindowSegments: number;
  /** Data leaves spread over the round trip, not in bursts (Linux: the fq queueing discipline). */
  pacing: boolean;
  /** Smallest and first retransmission timeout in ms (RFC 6298; Linux: 200 and 1,000). */
  rtoMinMs: number;
  rtoInitialMs: number;
  rtoMaxMs: number;
  /** SYN and SYN/ACK retransmissions before giving up (Linux: tcp_syn_retries, tcp_synack_retries). */
  synRetries: number;
  synAckRetries: number;
  /** So many repetitions of a SYN come a second apart, and only then do they back off (Linux: 4). */
  synLinearTimeouts: number;
  /** The congestion window decays while nothing is sent (RFC 5681 §4.1; Linux: tcp_slow_start_after_idle). */
  slowStartAfterIdle: boolean;
  /** Tail loss probes of a lone segment wait so much longer: its ACK may be delayed (RFC 8985 §7.2). */
  lossProbeDelayMs: number;
  /** Unacknowledged data ends a connection after this many ms without progress (RFC 9293 R2, ≥ 100 s). */
  dataTimeoutMs: number;
  /**
   * The same as the application wants it, in place of that, of `synRetries` and of `keepAliveProbes`; 0 = it
   * does not mind (RFC 5482; Linux: TCP_USER_TIMEOUT).
   */
  userTimeoutMs: number;
  /** Longest delay of an acknowledgement in ms (RFC 9293 §3.8.6.3: below 500). */
  delayedAckMs: number;
  /** TIME-WAIT in ms (Linux: 60,000). */
  timeWaitMs: number;
  /** FIN-WAIT-2 of a connection the application has let go, in ms (Linux: tcp_fin_timeout). */
  finWait2Ms: number;
  /** Keepalive: idle time, interval, probes (Linux: tcp_keepalive_time, _intvl, _probes). */
  keepAliveIdleMs: number;
  keepAliveIntervalMs: number;
  keepAliveProbes: number;
  /** Challenge ACKs per second and connection (RFC 5961 §7). */
  challengeAcksPerSecond: number;
  /** TCP timestamps and SACK offered (Linux: tcp_timestamps, tcp_sack). */
  timestamps: boolean;
  sack: boolean;
  /** Explicit Congestion Notification: asked for and granted, only granted, or neither (Linux: tcp_ecn). */
  ecn: 'on' | 'passive' | 'off';
  /** Differentiated services code point of all packets, 0 to 63 (Linux: the upper six bits of IP_TOS). */
  dscp: number;
  /** Time to live, or hop limit, of all packets (Linux: ip_default_ttl). */
  hopLimit: number;
  /** Largest segment offered and sent, in bytes; 0 = what the link admits (Linux: TCP_MAXSEG). */
  maxSegmentBytes: number;
  /** Smallest MTU that repeated loss of full-size segments falls back to (bytes). */
  mtuFloorBytes: number;
  /** Bytes sent to an address that has not proved itself, per byte received from it. */
  amplificationLimit: number;
  /**
   * What leaves is what leaves Linux also where ours is another on purpose and nothing else here decides it:
   * fewer signals of Multipath TCP, their order, and its scheduler (docs/api/options.md lists it).
   */
  asLinux: boolean;
}

export const TCP_DEFAULTS: TcpConfig = {
  congestion: 'cubic',
  sendBufferBytes: 4 * 1024 * 1024,
  receiveBufferBytes: 4 * 1024 * 1024,
  windowUnits: 4_096,
  sendBufferInitialBytes: 64 * 1024,
  // DEVIATION (Linux begins with 128 KiB): memory is taken only as bytes arrive, and a kernel peer whose
  // DATA_ACKs a middlebox takes away sends no more than the window it was last given.
  receiveBufferInitialBytes: 4 * 1024 * 1024,
  initialWindowSegments: 10,
  pacing: false,
  rtoMinMs: 200,
  rtoInitialMs: 1000,
  rtoMaxMs: 120_000,
  synRetries: 6,
  synAckRetries: 5,
  // DEVIATION (Linux: 4): whoever does not answer may be overloaded (RFC 6298 §5.5).
  synLinearTimeouts: 0,
  slowStartAfterIdle: true,
  // DEVIATION (RFC 8985 and Linux: 200 ms): ours and Linux's acknowledgements are delayed by 40 ms.
  lossProbeDelayMs: 50,
  dataTimeoutMs: 120_000,
  userTimeoutMs: 0,
  delayedAckMs: 40,
  timeWaitMs: 60_000,
  finWait2Ms: 60_000,
  keepAliveIdleMs: 7_200_000,
  keepAliveIntervalMs: 75_000,
  keepAliveProbes: 9,
  challengeAcksPerSecond: 10,
  timestamps: true,
  sack: true,
  ecn: 'passive',
  dscp: 0,
  hopLimit: 64,
  maxSegmentBytes: 0,
  mtuFloorBytes: 1280,
  // DEVIATION (Linux: no limit, six SYN/ACKs): who forges an address must not send its owner much more
  // through us than himself, as QUIC has it (RFC 9000 §8.1). Two SYN/ACKs with MP_CAPABLE fit; a client that
  // did not hear them repeats its SYN, and each repetition admits two more.
  amplificationLimit: 3,
  asLinux: false,
};
