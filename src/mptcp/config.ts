// Decides the constants of Multipath TCP that a user may turn, beside those of TCP (tcp/config).

import { TCP_DEFAULTS, type TcpConfig } from '../tcp/index.ts';

export interface MptcpConfig extends TcpConfig {
  /** DSS checksums asked for (Linux: net.mptcp.checksum_enabled). */
  checksum: boolean;
  /**
   * Peers may join the address and port of the first subflow: flag C is not set (RFC 8684 §3.1; Linux:
   * net.mptcp.allow_join_initial_addr_port).
   */
  allowJoinInitialAddress: boolean;
  /** A connection without any subflow lives this long (Linux: net.mptcp.close_timeout, 60 s). */
  closeTimeoutMs: number;
  /** Subflows of one connection, the first included; joins beyond are refused. */
  maxSubflows: number;
  /** Longest interval between two probes of a suspected path. */
  suspectProbeMs: number;
  /** Slack added to a path's round-trip time before silence makes it suspect: the peer's delayed ACK. */
  suspectSlackMs: number;
  /** A subflow silent for this long is replaced by a new one on the same path (client). */
  replaceAfterMs: number;
  /** First and longest delay before a lost path is tried again (client). */
  rejoinMinMs: number;
  rejoinMaxMs: number;
  /** Keepalive of idle subflows; 0 = none (the udp link sets 20,000 for the sake of NATs). */
  subflowKeepAliveMs: number;
  /**
   * TIME-WAIT of subflows once both DATA_FINs are acknowledged (RFC 8684 §3.3.3 encourages less than 2·MSL).
   */
  subflowTimeWaitMs: number;
  /** ADD_ADDR is repeated after this, doubling, until echoed (Linux: net.mptcp.add_addr_timeout). */
  addAddrTimeoutMs: number;
  addAddrRetries: number;
  /** REMOVE_ADDR of an address that has gone is said again so often: nothing acknowledges it (Linux: 0). */
  removeAddrRetries: number;
  /** MP_FASTCLOSE on an ACK is repeated so often before the connection is given up (RFC 8684 §3.5: 3). */
  fastcloseRetries: number;
  /** Receive mappings kept per subflow at most. */
  maxMappings: number;
  /**
   * A first SYN that stays unanswered for so long is joined by one without MP_CAPABLE, from another port;
   * one that is refused, at once. 0 = never.
   */
  plainSynMs: number;
  /**
   * The SYN is repeated so often with MP_CAPABLE, and then without; 128 = always with it (Linux:
   * net.mptcp.syn_retrans_before_tcp_fallback).
   */
  synRetransBeforeFallback: number;
  /**
   * What a network does to SYNs with MP_CAPABLE, or to payload, is remembered for so long; 0 = not at all
   * (Linux: net.mptcp.blackhole_timeout).
   */
  blackholeTimeoutMs: number;
  /**
   * A server that has no data yet acknowledges the handshake with a DSS, so that its client may join at once;
   * Linux does not.
   */
  firstDataAck: boolean;
  /** Mappings carry 32 bits of the data sequence number, as iOS's do; Linux always sends 64. */
  shortSequence: boolean;
  /**
   * TCP Fast Open: a server answers before it has the third ACK (RFC 8684 Figure 19). Linux's servers wait,
   * and its clients fall back to TCP on such an answer.
   */
  earlyAnswer: boolean;
}

/** As the setting `synRetransBeforeFallback`. */
export const SYN_ALWAYS_CAPABLE = 128;

export const MPTCP_DEFAULTS: MptcpConfig = {
  ...TCP_DEFAULTS,
  checksum: false,
  allowJoinInitialAddress: true,
  closeTimeoutMs: 60_000,
  maxSubflows: 8,
  suspectProbeMs: 500,
  suspectSlackMs: 50,
  replaceAfterMs: 3_000,
  rejoinMinMs: 1_000,
  rejoinMaxMs: 30_000,
  subflowKeepAliveMs: 0,
  subflowTimeWaitMs: 2_000,
  addAddrTimeoutMs: 1_000,
  addAddrRetries: 5,
  removeAddrRetries: 2,
  fastcloseRetries: 3,
  maxMappings: 8_192,
  plainSynMs: 400,
  // DEVIATION (Linux: 2): `plainSynMs` finds it out sooner.
  synRetransBeforeFallback: SYN_ALWAYS_CAPABLE,
  blackholeTimeoutMs: 3_600_000,
  firstDataAck: false,
  shortSequence: false,
  // DEVIATION (RFC 8684 §B.3, Figure 19: the listener answers at once): see above.
  earlyAnswer: false,
};
