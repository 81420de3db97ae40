// Decides what TCP_INFO, MPTCP_INFO and the like tell: Linux's fields under their names, as plain objects, in
// Linux's units (microseconds for round trips and timeouts, milliseconds for ages, segments for windows). A
// field that the core does not know is not there.
// Read: linux/tcp.h (struct tcp_info), linux/mptcp.h. Before: sockets/options. After: tcp/tcb, mptcp.

import { Recovery, Sent, State, type Tcb } from '../../tcp/index.ts';
import { constants } from './constants.ts';
import { errno } from './errno.ts';
import { nameOf, type SocketAddress } from './place.ts';
import type { Socket } from './socket.ts';

/** `struct tcp_info`. */
export interface TcpInfo {
  /** Linux's numbers: 1 ESTABLISHED, 2 SYN_SENT, 3 SYN_RECV, …, 7 CLOSE, 10 LISTEN. */
  readonly tcpi_state: number;
  /** 0 Open, 1 Disorder, 3 Recovery, 4 Loss. */
  readonly tcpi_ca_state: number;
  readonly tcpi_retransmits: number;
  readonly tcpi_probes: number;
  readonly tcpi_backoff: number;
  /** 1 timestamps, 2 SACK, 4 window scale, 8 ECN, 32 data came with the SYN (Fast Open). */
  readonly tcpi_options: number;
  readonly tcpi_snd_wscale: number;
  readonly tcpi_rcv_wscale: number;
  readonly tcpi_rto: number;
  readonly tcpi_ato: number;
  readonly tcpi_snd_mss: number;
  readonly tcpi_rcv_mss: number;
  readonly tcpi_unacked: number;
  readonly tcpi_sacked: number;
  readonly tcpi_lost: number;
  readonly tcpi_retrans: number;
  readonly tcpi_total_retrans: number;
  readonly tcpi_last_data_sent: number;
  readonly tcpi_last_data_recv: number;
  readonly tcpi_last_ack_recv: number;
  readonly tcpi_pmtu: number;
  readonly tcpi_rtt: number;
  readonly tcpi_rttvar: number;
  readonly tcpi_snd_ssthresh: number;
  readonly tcpi_snd_cwnd: number;
  readonly tcpi_advmss: number;
  /** The most segments that reordering has spanned, 3 at first, and how often it was seen. */
  readonly tcpi_reordering: number;
  readonly tcpi_reord_seen: number;
  readonly tcpi_dsack_dups: number;
  readonly tcpi_delivered: number;
  /** Of plain TCP only: how long there was something to send or unacknowledged, and what held it back. */
  readonly tcpi_busy_time?: number;
  readonly tcpi_rwnd_limited?: number;
  readonly tcpi_sndbuf_limited?: number;
  readonly tcpi_rcv_rtt: number;
  readonly tcpi_rcv_space: number;
  readonly tcpi_min_rtt: number;
  readonly tcpi_bytes_acked: number;
  readonly tcpi_bytes_received: number;
  readonly tcpi_bytes_sent: number;
  readonly tcpi_bytes_retrans: number;
  readonly tcpi_notsent_bytes: number;
  readonly tcpi_segs_out: number;
  readonly tcpi_segs_in: number;
  readonly tcpi_snd_wnd: number;
  readonly tcpi_rcv_wnd: number;
}

/** `struct mptcp_info`. */
export interface MultipathSocketInfo {
  /** Subflows beside the first. */
  readonly mptcpi_subflows: number;
  readonly mptcpi_add_addr_signal: number;
  readonly mptcpi_add_addr_accepted: number;
  readonly mptcpi_subflows_max: number;
  readonly mptcpi_add_addr_signal_max: number;
  readonly mptcpi_add_addr_accepted_max: number;
  /** 1 fallback, 2 the peer's key was received. */
  readonly mptcpi_flags: number;
  readonly mptcpi_token: number;
  readonly mptcpi_local_addr_used: number;
  readonly mptcpi_local_addr_max: number;
  readonly mptcpi_csum_enabled: number;
  readonly mptcpi_retransmits: number;
  readonly mptcpi_bytes_retrans: number;
  readonly mptcpi_bytes_sent: number;
  readonly mptcpi_bytes_received: number;
  readonly mptcpi_bytes_acked: number;
  readonly mptcpi_subflows_total: number;
}

/** Both ends of a subflow. */
export interface SubflowAddresses {
  readonly sa_local: SocketAddress;
  readonly sa_remote: SocketAddress;
}

/** SIOCINQ: what can be read; SIOCOUTQ, SIOCOUTQNSD: what is not acknowledged, or not sent. */
export function queued({ connection, isListening }: Socket, request: number): number {
  if (isListening) return -errno.EINVAL;
  const isOpen = connection !== null && !connection.closed && connection.connected;
  switch (request) {
    case constants.SIOCINQ:
      return connection?.readableBytes ?? 0;
    case constants.SIOCOUTQ:
      return isOpen ? connection.unacknowledgedBytes : 0;
    case constants.SIOCOUTQNSD:
      return isOpen ? connection.unsentBytes : 0;
    case constants.SIOCATMARK:
      return 0;
    default:
      return -errno.ENOTTY;
  }
}

/** TCP_INFO: of the first subflow, where there are several. */
export function tcpInfo(socket: Socket, now: number): TcpInfo {
  const tcb = socket.connection?.firstTcb ?? null;
  const { listening } = socket;
  if (listening !== null) {
    // How many wait, and how many may.
    const [waiting, most] = [listening.waiting, listening.backlog - 1];
    return { ...NOTHING, tcpi_state: LISTEN, tcpi_unacked: waiting, tcpi_sacked: most };
  }
  if (tcb === null) return NOTHING;
  return infoOf(tcb, socket, now);
}

/** MPTCP_TCPINFO: one a subflow. */
export function tcpInfos(socket: Socket, now: number): TcpInfo[] {
  return (socket.connection?.tcbs ?? []).map(tcb => infoOf(tcb, socket, now));
}

/** MPTCP_SUBFLOW_ADDRS. */
export function subflowAddresses(socket: Socket): SubflowAddresses[] {
  return (socket.connection?.tcbs ?? []).map(tcb => ({
    sa_local: nameOf(socket.domain, tcb.networkInterface.words, tcb.localPort),
    sa_remote: nameOf(socket.domain, tcb.remoteWords, tcb.remotePort),
  }));
}

/** MPTCP_INFO. */
export function multipathInfo(socket: Socket): MultipathSocketInfo {
  const side = socket.connection?.multipathSide ?? null;
  if (side === null) return NO_MULTIPATH;
  const stream = socket.connection?.stream ?? side;
  const endpoints = side.managed?.endpoints.list ?? [];
  const open = side.subflows.filter(({ isOpen }) => isOpen).length;
  return {
    mptcpi_subflows: Math.max(0, open - 1),
    mptcpi_add_addr_signal: side.signals.announcedCount,
    mptcpi_add_addr_accepted: side.managed?.accepted ?? 0,
    mptcpi_subflows_max: side.mostSubflows - 1,
    mptcpi_add_addr_signal_max: endpoints.filter(({ signal }) => signal).length,
    mptcpi_add_addr_accepted_max: side.managed?.endpoints.limits.addAddrAccepted ?? 0,
    mptcpi_flags: (side.plain === null ? 0 : FLAG_FALLBACK) | (side.remoteKey === null ? 0 : FLAG_REMOTE_KEY),
    mptcpi_token: side.localKey.token,
    mptcpi_local_addr_used: side.managed?.localUsed ?? 0,
    mptcpi_local_addr_max: endpoints.filter(({ subflow }) => subflow).length,
    mptcpi_csum_enabled: side.checksum ? 1 : 0,
    mptcpi_retransmits: side.dataBackoff,
    mptcpi_bytes_retrans: side.subflows.reduce((sum, { bytesReinjected }) => sum + bytesReinjected, 0),
    mptcpi_bytes_sent: stream.sendBuffer.end - 1 - stream.unsentBytes(),
    mptcpi_bytes_received: stream.receiveBuffer.next - 1,
    mptcpi_bytes_acked: Math.max(0, stream.sendBuffer.end - 1 - stream.unacknowledgedBytes),
    mptcpi_subflows_total: side.subflows.length,
  };
}

/** MPTCP_FULL_INFO: everything at once, each subflow with its addresses and what TCP knows of it. */
export function fullInfo(
  socket: Socket,
  now: number,
): MultipathSocketInfo & { subflows: (TcpInfo & SubflowAddresses)[] } {
  const addresses = subflowAddresses(socket);
  const subflows = tcpInfos(socket, now).map((info, i) => ({ ...info, ...addresses[i] }));
  return { ...multipathInfo(socket), subflows };
}

function infoOf(tcb: Tcb, socket: Socket, now: number): TcpInfo {
  const mss = tcb.payloadMss;
  const { rtt, sent, congestion } = tcb;
  const segments = (bytes: number) => Math.ceil(bytes / mss);
  const isSynSent = tcb.state === State.SYN_SENT;
  return {
    tcpi_state: LINUX_STATES[tcb.state],
    tcpi_ca_state: congestionState(tcb),
    tcpi_retransmits: tcb.isSynchronized ? tcb.backoff : Math.max(0, tcb.synTransmissions - 1),
    tcpi_probes: tcb.keepAliveSent,
    tcpi_backoff: tcb.backoff,
    tcpi_options:
      (tcb.timestamps ? 1 : 0) |
      (tcb.sack ? 2 : 0) |
      (tcb.windowScaling ? 4 : 0) |
      (tcb.ecn.agreed ? 8 : 0) |
      (tcb.synDataTaken ? 32 : 0),
    tcpi_snd_wscale: tcb.sndScale,
    tcpi_rcv_wscale: tcb.windowScaling ? tcb.rcvScale : 0,
    tcpi_rto: Math.round(rtt.rtoMs * 1000),
    tcpi_ato: tcb.env.config.delayedAckMs * 1000,
    tcpi_snd_mss: mss,
    tcpi_rcv_mss: tcb.rcvMss,
    tcpi_unacked: isSynSent ? 1 : segments(tcb.sndNxt - tcb.sndUna),
    tcpi_sacked: segments(sent.sackedBytes),
    // Linux counts what was sent again as lost until it is acknowledged.
    tcpi_lost: segments(sent.lostBytes) + (tcb.recovery === Recovery.OPEN ? 0 : sent.retransmittedOut),
    tcpi_retrans: resentSegments(tcb),
    tcpi_total_retrans: tcb.segmentsResent,
    tcpi_reordering: tcb.reorderingSegments,
    tcpi_reord_seen: tcb.reorderings,
    tcpi_dsack_dups: tcb.duplicateReports,
    ...(tcb.busy === null ? {} : tcb.busy.info(now)),
    tcpi_last_data_sent: tcb.lastDataMs < 0 ? 0 : Math.round(now - tcb.lastDataMs),
    tcpi_last_data_recv: Math.round(now - Math.max(tcb.lastPayloadMs, tcb.establishedMs, tcb.synSentMs)),
    tcpi_delivered: tcb.segmentsDelivered,
    tcpi_last_ack_recv: Math.round(now - tcb.lastReceivedMs),
    tcpi_pmtu: tcb.mss + (tcb.networkInterface.family === 6 ? 60 : 40),
    tcpi_rtt: Math.round(rtt.srttMs * 1000),
    tcpi_rttvar: Math.round(rtt.rttVarMs * 1000),
    tcpi_snd_ssthresh: congestion.ssthreshBytes === Infinity ? INFINITE : segments(congestion.ssthreshBytes),
    tcpi_snd_cwnd: Math.max(1, Math.floor(tcb.cwndBytes / mss)),
    tcpi_advmss: tcb.offeredMss - (tcb.timestamps ? 12 : 0),
    tcpi_rcv_rtt: Math.round(tcb.rcvRttMs * 1000),
    tcpi_rcv_space: socket.connection?.stream.receiveBuffer.limit ?? 0,
    tcpi_min_rtt: rtt.minMs === Infinity ? 2 ** 32 - 1 : Math.round(rtt.minMs * 1000),
    // Linux counts the SYN.
    tcpi_bytes_acked: tcb.sndUna,
    tcpi_bytes_received: tcb.bytesReceived,
    tcpi_bytes_sent: tcb.bytesSent + tcb.bytesRetransmitted,
    tcpi_bytes_retrans: tcb.bytesRetransmitted,
    tcpi_notsent_bytes: socket.connection?.unsentBytes ?? 0,
    tcpi_segs_out: tcb.segmentsSent,
    tcpi_segs_in: tcb.segmentsReceived,
    tcpi_snd_wnd: tcb.sndWnd,
    tcpi_rcv_wnd: Math.max(0, tcb.rcvEdge - tcb.rcvNxt),
  };
}

/** Linux's numbers: 0 Open, 1 Disorder, 2 CWR, 3 Recovery, 4 Loss. */
function congestionState({ recovery, ecn, sndUna, sent, dupAckBytes }: Tcb): number {
  if (recovery !== Recovery.OPEN) return recovery + 2;
  if (sndUna < ecn.reducedSsn) return 2;
  return sent.sackedBytes > 0 || dupAckBytes > 0 ? 1 : 0;
}

/** Sent again and in flight. */
function resentSegments({ sent, payloadMss }: Tcb): number {
  let count = 0;
  for (let i = 0; i < sent.count; i++) {
    const flags = sent.flags(i) & (Sent.RETRANSMITTED | Sent.SACKED | Sent.LOST);
    if (flags === Sent.RETRANSMITTED) count += Math.ceil(sent.length(i) / payloadMss);
  }
  return count;
}

const CLOSE = 7;
const LISTEN = 10;
/** By State. */
const LINUX_STATES: readonly number[] = [CLOSE, 2, 3, 1, 4, 5, 8, 11, 9, 6];
const INFINITE = 0x7fff_ffff;
const FLAG_FALLBACK = 1;
const FLAG_REMOTE_KEY = 2;
const NOTHING: TcpInfo = {
  tcpi_state: CLOSE,
  tcpi_ca_state: 0,
  tcpi_retransmits: 0,
  tcpi_probes: 0,
  tcpi_backoff: 0,
  tcpi_options: 0,
  tcpi_snd_wscale: 0,
  tcpi_rcv_wscale: 0,
  tcpi_rto: 1_000_000,
  tcpi_ato: 0,
  tcpi_snd_mss: 536,
  tcpi_rcv_mss: 0,
  tcpi_unacked: 0,
  tcpi_sacked: 0,
  tcpi_lost: 0,
  tcpi_retrans: 0,
  tcpi_total_retrans: 0,
  tcpi_last_data_sent: 0,
  tcpi_last_data_recv: 0,
  tcpi_last_ack_recv: 0,
  tcpi_pmtu: 0,
  tcpi_rtt: 0,
  tcpi_rttvar: 250_000,
  tcpi_snd_ssthresh: INFINITE,
  tcpi_snd_cwnd: 10,
  tcpi_advmss: 0,
  tcpi_reordering: 3,
  tcpi_reord_seen: 0,
  tcpi_dsack_dups: 0,
  tcpi_delivered: 0,
  tcpi_rcv_rtt: 0,
  tcpi_rcv_space: 0,
  tcpi_min_rtt: 2 ** 32 - 1,
  tcpi_bytes_acked: 0,
  tcpi_bytes_received: 0,
  tcpi_bytes_sent: 0,
  tcpi_bytes_retrans: 0,
  tcpi_notsent_bytes: 0,
  tcpi_segs_out: 0,
  tcpi_segs_in: 0,
  tcpi_snd_wnd: 0,
  tcpi_rcv_wnd: 0,
};
const NO_MULTIPATH: MultipathSocketInfo = {
  mptcpi_subflows: 0,
  mptcpi_add_addr_signal: 0,
  mptcpi_add_addr_accepted: 0,
  mptcpi_subflows_max: 0,
  mptcpi_add_addr_signal_max: 0,
  mptcpi_add_addr_accepted_max: 0,
  mptcpi_flags: 0,
  mptcpi_token: 0,
  mptcpi_local_addr_used: 0,
  mptcpi_local_addr_max: 0,
  mptcpi_csum_enabled: 0,
  mptcpi_retransmits: 0,
  mptcpi_bytes_retrans: 0,
  mptcpi_bytes_sent: 0,
  mptcpi_bytes_received: 0,
  mptcpi_bytes_acked: 0,
  mptcpi_subflows_total: 0,
};
