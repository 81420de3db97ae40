// Decides what TCP Fast Open changes on one connection: the SYN that carries a cookie and data, what its
// answer means, and the connection that lives before its third ACK. Cookies and memory are the host's
// (host/fast-open). Read: RFC 7413 §4; with Multipath TCP RFC 8684 Appendix B.
// Before: tcp/output (the SYN), tcp/handshake (its answer). After: the extension, whose bytes they are.

import { fastOpenLength, MAX_OPTIONS_BYTES, Mp, optionsLength, type Segment } from '../wire/index.ts';
import { State } from './state.ts';
import type { Tcb } from './tcb.ts';

/** What came of a SYN with the option. */
export interface FastOpenAnswer {
  mss: number;
  cookie: Uint8Array | null;
  /** The cookie came in the option from before it had a number. */
  experimental: boolean;
  /** The answer was not to the SYN that carried data. */
  synLost: boolean;
  /** A cookie was asked for, by the SYN that was answered, and none came. */
  unheard: boolean;
}

/** What a client remembers of a server, and of its own network. */
export interface FastOpenMemory {
  answered(answer: FastOpenAnswer, now: number): void;
  /** Segments of a connection that began so vanish. */
  blackHole(now: number): void;
  /** Data came in on a connection that began so. */
  passes(): void;
}

/** The client's side, from before the SYN on; made by the host. */
export class FastOpenClient {
  /** Sent with the SYN: empty is a request for one, null is no option. */
  readonly cookie: Uint8Array | null;
  /** In the option from before it had a number. */
  readonly experimental: boolean;
  /** The SYN may carry data. */
  readonly carries: boolean;
  /** Largest segment of the server, as it last said; 0 = unknown. */
  readonly mss: number;
  readonly memory: FastOpenMemory;
  /** Bytes of the stream that left with the SYN. */
  bytes = 0;

  constructor(options: {
    cookie: Uint8Array | null;
    experimental?: boolean;
    carries: boolean;
    mss: number;
    memory: FastOpenMemory;
  }) {
    this.cookie = options.cookie;
    this.experimental = options.experimental ?? false;
    this.carries = options.carries;
    this.mss = options.mss;
    this.memory = options.memory;
  }

  /** The SYN has the option, data or both: what becomes of the connection says whether that passes. */
  get isTried(): boolean {
    return this.cookie !== null || this.carries;
  }
}

/** The server's side. */
export class FastOpenServer {
  /** Sent with the SYN/ACK; null = none. */
  readonly grant: Uint8Array | null;
  /** In the option in which it was asked for. */
  readonly experimental: boolean;
  /** The connection is the application's before its third ACK. */
  readonly early: boolean;

  constructor(options: { grant: Uint8Array | null; experimental?: boolean; early: boolean }) {
    this.grant = options.grant;
    this.experimental = options.experimental ?? false;
    this.early = options.early;
  }
}

/** The connection may send although its handshake is not complete (RFC 7413 §4.2.2). */
export function isEarly(tcb: Tcb): boolean {
  return tcb.state === State.SYN_RECEIVED && tcb.fastOpenServer !== null && tcb.fastOpenServer.early;
}

/** Option and data of a SYN whose other options are all there; returns the bytes of data. */
export function fillSyn(tcb: Tcb, segment: Segment, now: number): number {
  const fastOpen = tcb.fastOpenClient;
  // As in Linux, a repetition is a SYN that any path takes: neither option nor data.
  if (fastOpen === null || tcb.synTransmissions > 0) return 0;
  if (fastOpen.cookie !== null && !place(segment, fastOpen.cookie, fastOpen.experimental)) return 0;
  if (!fastOpen.carries) return 0;
  const bytes = Math.min(tcb.extension.earlyBytes(), synRoom(tcb));
  if (bytes <= 0) return 0;
  fastOpen.bytes = bytes;
  tcb.sent.append(1, bytes, now, 0);
  tcb.sndNxt = 1 + bytes;
  tcb.bytesSent += bytes;
  return bytes;
}

/** Most bytes of data that a SYN carries: room is left for all options there can be, for boxes add some. */
export function synRoom(tcb: Tcb): number {
  const serverMss = tcb.fastOpenClient?.mss ?? 0;
  return Math.min(tcb.offeredMss, serverMss > 0 ? serverMss : Infinity) - MAX_OPTIONS_BYTES;
}

/** The cookie granted with a SYN/ACK whose other options are all there. */
export function fillSynAck(tcb: Tcb, segment: Segment): void {
  if (tcb.fastOpenServer === null) return;
  const { grant, experimental } = tcb.fastOpenServer;
  if (grant === null) return;
  // RFC 8684 §B.1: "the listener can reduce the amount of space used by other TCP options by omitting the TCP
  // timestamps", which for this connection are none then; Linux does the same.
  const room = MAX_OPTIONS_BYTES - optionsLength(segment);
  const bytes = fastOpenLength(grant.length, experimental);
  if (room < bytes && segment.hasTimestamps && (segment.mp & Mp.CAPABLE) !== 0) {
    segment.hasTimestamps = tcb.timestamps = false;
  }
  place(segment, grant, experimental);
}

function place(segment: Segment, cookie: Uint8Array, experimental: boolean): boolean {
  const room = MAX_OPTIONS_BYTES - optionsLength(segment);
  if (fastOpenLength(cookie.length, experimental) > room) return false;
  segment.fastOpenLength = cookie.length;
  segment.fastOpenExperimental = experimental;
  segment.fastOpenCookie.set(cookie);
  return true;
}

/** The SYN/ACK: what it did not acknowledge is sent again, as data that follows the handshake. */
export function synAnswered(tcb: Tcb, segment: Segment, ack: number, now: number): void {
  const fastOpen = tcb.fastOpenClient;
  if (fastOpen === null) return;
  const counters = tcb.env.counters;
  const { bytes } = fastOpen;
  const cookie = segment.fastOpenLength > 0 ? segment.fastOpenCookie.slice(0, segment.fastOpenLength) : null;
  const all = ack - 1 === bytes;
  tcb.synDataTaken = bytes > 0 && all;
  if (tcb.synDataTaken) counters.TCPFastOpenActive++;
  else if (bytes > 0) counters.TCPFastOpenActiveFail++;
  // RFC 7413 §4.1.3: "cookie and MSS"; an answer that nobody asked for is not believed.
  if (fastOpen.isTried) {
    const { mss, fastOpenExperimental: experimental } = segment;
    const isRepeated = tcb.synTransmissions > 1;
    const synLost = isRepeated && cookie === null && !all;
    const unheard = !isRepeated && cookie === null && fastOpen.cookie?.length === 0;
    fastOpen.memory.answered({ mss, cookie, experimental, synLost, unheard }, now);
  }
  if (bytes === 0) return;
  tcb.sent.clear();
  tcb.sndNxt = ack;
  if (!all) {
    tcb.env.counters.RetransSegs++;
    tcb.bytesSent -= bytes - (ack - 1);
  }
  tcb.extension.earlyAcknowledged(ack - 1, now);
}

/** A timeout, the `count`-th in a row; `isLast`: the connection is given up. */
export function fastOpenTimedOut(tcb: Tcb, count: number, isLast: boolean, now: number): void {
  const fastOpen = tcb.fastOpenClient;
  if (!fastOpen?.isTried) return;
  // As in Linux: the third timeout in a row, or the end before it.
  if (isLast ? count > 3 : count !== 3) return;
  fastOpen.memory.blackHole(now);
  tcb.env.counters.TCPFastOpenActiveFail++;
}

/** It ends: a FIN beyond a hole and nothing else says that a box took the data away (as in Linux). */
export function fastOpenEnds(tcb: Tcb, now: number): void {
  const fastOpen = tcb.fastOpenClient;
  if (!fastOpen?.isTried) return;
  if (tcb.bytesReceived > 0) fastOpen.memory.passes();
  else if (tcb.rcvFinSsn > tcb.rcvNxt) fastOpen.memory.blackHole(now);
}

/** Data in a SYN that is accepted (RFC 7413 §4.2.2). */
export function takeEarly(tcb: Tcb, segment: Segment, now: number): void {
  const length = Math.min(segment.payloadLength, tcb.extension.windowBytes());
  tcb.env.counters.TCPFastOpenPassive++;
  tcb.rcvNxt = 1 + length;
  tcb.rcvEdge = Math.max(tcb.rcvEdge, tcb.rcvNxt);
  tcb.bytesReceived += length;
  tcb.extension.earlyPayload(tcb.env.shared.inBytes, segment.payloadOffset, length, now);
}
