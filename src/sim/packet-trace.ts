// One line of text for one packet: when, where, flags, numbers relative to the beginning, options by
// name, and what became of it. For the eyes of whoever replays a failing seed. RFC 9293 §3.1, RFC 8684
// §3.
// Before it: network.ts tells it of every packet that enters a path. After it: a sink of lines, usually
// standard output.

import { createHash } from 'node:crypto';
import { DssFlag, decodePacket, Flag, formatAddress, Mp, Segment } from '../wire/index.ts';

/** What became of a packet that entered a path. */
export interface PacketFate {
  /** When it arrives; `NaN` when it does not. */
  arrivalMs: number;
  /** Why it does not arrive, or what else happened to it; '' for nothing. */
  note: string;
}

/**
 * Turns packets into lines. Keeps the first sequence numbers of every flow, to print the rest relative to.
 */
export class PacketTrace {
  private readonly print: (line: string) => void;
  private readonly segment: Segment = new Segment();
  private readonly sequenceBases: Map<string, number> = new Map();
  private readonly dataBases: number[] = [];

  constructor(print: (line: string) => void) {
    this.print = print;
  }

  /** A line that is not about a packet. */
  remark(nowMs: number, text: string): void {
    this.print(`${time(nowMs)} ** ${text}`);
  }

  /** A packet enters a path. */
  packet(
    nowMs: number,
    path: string,
    bytes: Uint8Array,
    offset: number,
    length: number,
    fate: PacketFate,
  ): void {
    const s = this.segment;
    const end = Number.isNaN(fate.arrivalMs) ? 'lost' : `→ ${fate.arrivalMs.toFixed(3)}`;
    const note = fate.note === '' ? '' : ` [${fate.note}]`;
    if (!decodePacket(s, bytes, offset, length)) {
      this.print(`${time(nowMs)} ${path} not a TCP packet, ${length} bytes ${end}${note}`);
      return;
    }
    this.print(`${time(nowMs)} ${path} ${this.describe(s)} ${end}${note}`);
  }

  private describe(s: Segment): string {
    const from = `${formatAddress(s.src0, s.src1, s.src2, s.src3)}:${s.srcPort}`;
    const to = `${formatAddress(s.dst0, s.dst1, s.dst2, s.dst3)}:${s.dstPort}`;
    if (s.flags & Flag.SYN) this.sequenceBases.set(`${from}>${to}`, s.seq);
    const base = this.base(`${from}>${to}`, s.seq);
    const seq = (s.seq - base) >>> 0;
    const reverse = this.base(`${to}>${from}`, s.ack);
    const ack = s.flags & Flag.ACK ? ` ack ${(s.ack - reverse) >>> 0}` : '';
    const range = s.payloadLength > 0 ? `${seq}:${seq + s.payloadLength}(${s.payloadLength})` : `${seq}`;
    const options = [...tcpOptions(s, reverse), ...this.mptcpOptions(s)].join(' ');
    return `${from} > ${to} ${flags(s.flags)} ${range}${ack} win ${s.window} <${options}>`;
  }

  private base(flow: string, first: number): number {
    const known = this.sequenceBases.get(flow);
    if (known !== undefined) return known;
    this.sequenceBases.set(flow, first);
    return first;
  }

  private mptcpOptions(s: Segment): string[] {
    const list: string[] = [];
    if (s.mp & Mp.CAPABLE) list.push(this.capable(s));
    if (s.mp & Mp.JOIN) {
      const detail = s.joinLength === 12 ? ` token ${hex(s.joinToken)}` : '';
      list.push(`JOIN${s.joinLength} id ${s.joinAddressId}${s.joinBackup ? ' backup' : ''}${detail}`);
    }
    if (s.mp & Mp.DSS) list.push(this.dss(s));
    if (s.mp & Mp.ADD_ADDR) {
      const address = formatAddress(s.addAddr0, s.addAddr1, s.addAddr2, s.addAddr3);
      list.push(`ADD_ADDR${s.addAddrEcho ? ' echo' : ''} id ${s.addAddrId} ${address}:${s.addAddrPort}`);
    }
    if (s.mp & Mp.REMOVE_ADDR) list.push(`REMOVE_ADDR ${s.removeIds.subarray(0, s.removeCount).join(',')}`);
    if (s.mp & Mp.PRIO) list.push(`PRIO ${s.prioBackup ? 'backup' : 'normal'}`);
    if (s.mp & Mp.FAIL) list.push(`FAIL dsn ${this.dataNumber(s.failDsnLo)}`);
    if (s.mp & Mp.FASTCLOSE) list.push('FASTCLOSE');
    if (s.mp & Mp.TCPRST) list.push(`TCPRST reason ${s.rstReason} flags ${s.rstFlags}`);
    if (s.badOptions > 0) list.push(`${s.badOptions} bad`);
    return list;
  }

  private capable(s: Segment): string {
    if (s.capableLength >= 12) this.learnKey(s.senderKeyHi, s.senderKeyLo);
    if (s.capableLength >= 20) this.learnKey(s.receiverKeyHi, s.receiverKeyLo);
    const data = s.capableLength > 20 ? ` dlen ${s.dataLength}` : '';
    return `CAPABLE${s.capableLength} v${s.capableVersion} flags ${hex(s.capableFlags)}${data}`;
  }

  private dss(s: Segment): string {
    const parts: string[] = [];
    if (s.dssFlags & DssFlag.DATA_ACK) {
      const wide = s.dssFlags & DssFlag.DATA_ACK_64 ? '' : '/32';
      parts.push(`ack${wide} ${this.dataNumber(s.dataAckLo)}`);
    }
    if (s.dssFlags & DssFlag.MAP) {
      const wide = s.dssFlags & DssFlag.DSN_64 ? '' : '/32';
      parts.push(`dsn${wide} ${this.dataNumber(s.dsnLo)} ssn ${s.ssn} len ${s.dataLength}`);
      if (s.checksum >= 0) parts.push(`sum ${hex(s.checksum)}`);
    }
    if (s.dssFlags & DssFlag.DATA_FIN) parts.push('DATA_FIN');
    return `DSS{${parts.join(' ')}}`;
  }

  // RFC 8684 §3.1: the initial data sequence number is the rightmost 64 bits of SHA-256 of the key; the low
  // half of it is enough to print numbers relative to.
  private learnKey(hi: number, lo: number): void {
    const key = Buffer.alloc(8);
    key.writeUInt32BE(hi >>> 0, 0);
    key.writeUInt32BE(lo >>> 0, 4);
    const initial = createHash('sha256').update(key).digest().readUInt32BE(28);
    if (!this.dataBases.includes(initial)) this.dataBases.push(initial);
  }

  // Relative to the nearest initial number known; all of the keys seen are tried.
  private dataNumber(lo: number): string {
    let nearest = Number.POSITIVE_INFINITY;
    for (const base of this.dataBases) {
      const distance = (lo - base) | 0;
      if (Math.abs(distance) < Math.abs(nearest)) nearest = distance;
    }
    return Math.abs(nearest) < 0x4000_0000 ? `${nearest}` : `0x${hex(lo)}`;
  }
}

function tcpOptions(s: Segment, ackBase: number): string[] {
  const list: string[] = [];
  if (s.mss > 0) list.push(`mss ${s.mss}`);
  if (s.windowScale >= 0) list.push(`scale ${s.windowScale}`);
  if (s.sackPermitted) list.push('sackok');
  if (s.hasTimestamps) list.push(`ts ${s.tsVal}/${s.tsEcr}`);
  for (let i = 0; i < s.sackCount; i++) {
    list.push(`sack ${(s.sackLeft[i] - ackBase) >>> 0}-${(s.sackRight[i] - ackBase) >>> 0}`);
  }
  return list;
}

function flags(bits: number): string {
  let text = '';
  for (const [name, bit] of FLAG_NAMES) if (bits & bit) text += name;
  return text === '' ? '-' : text;
}

function time(nowMs: number): string {
  return nowMs.toFixed(3).padStart(12);
}

function hex(value: number): string {
  return (value >>> 0).toString(16);
}

const FLAG_NAMES: readonly (readonly [string, number])[] = [
  ['S', Flag.SYN],
  ['F', Flag.FIN],
  ['R', Flag.RST],
  ['P', Flag.PSH],
  ['.', Flag.ACK],
  ['U', Flag.URG],
  ['E', Flag.ECE],
  ['W', Flag.CWR],
];
