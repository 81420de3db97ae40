// Decides how a packet that the stack under test sent is taken apart, option by option in their order, and how
// it is told in the script's language. Independent of src/wire, which is under test.
// Before: machine. After: match-packet.

import { addressText, type Flow } from './flow.ts';

export interface LiveOption {
  readonly kind: number;
  readonly data: Buffer;
}

export interface LivePacket {
  readonly at: number;
  readonly isV6: boolean;
  readonly source: string;
  readonly target: string;
  readonly sourcePort: number;
  readonly targetPort: number;
  /** The octet of IPv4, or the traffic class. */
  readonly tos: number;
  readonly ttl: number;
  readonly seq: number;
  readonly ack: number;
  readonly flags: number;
  readonly window: number;
  readonly urgent: number;
  readonly options: readonly LiveOption[];
  readonly length: number;
}

export function readPacket(bytes: Buffer, at: number): LivePacket | null {
  const isV6 = bytes[0] >> 4 === 6;
  const ip = isV6 ? 40 : (bytes[0] & 15) * 4;
  if (bytes[isV6 ? 6 : 9] !== 6) return null;
  const tcp = bytes.subarray(ip);
  const headerBytes = (tcp[12] >> 4) * 4;
  return {
    at,
    isV6,
    source: addressText(isV6 ? bytes.subarray(8, 24) : bytes.subarray(12, 16)),
    target: addressText(isV6 ? bytes.subarray(24, 40) : bytes.subarray(16, 20)),
    sourcePort: tcp.readUInt16BE(0),
    targetPort: tcp.readUInt16BE(2),
    tos: isV6 ? ((bytes[0] & 15) << 4) | (bytes[1] >> 4) : bytes[1],
    ttl: bytes[isV6 ? 7 : 8],
    seq: tcp.readUInt32BE(4),
    ack: tcp.readUInt32BE(8),
    flags: tcp[13] | ((tcp[12] & 1) << 8),
    window: tcp.readUInt16BE(14),
    urgent: tcp.readUInt16BE(18),
    options: readOptions(tcp.subarray(20, headerBytes)),
    length: tcp.length - headerBytes,
  };
}

function readOptions(bytes: Buffer): LiveOption[] {
  const options: LiveOption[] = [];
  for (let at = 0; at < bytes.length; ) {
    const kind = bytes[at];
    const length = kind < 2 ? 1 : bytes[at + 1];
    options.push({ kind, data: bytes.subarray(at + (kind < 2 ? 1 : 2), at + length) });
    if (kind === 0) break;
    at += Math.max(1, length);
  }
  return options;
}

/** The packet as a script would write it, numbers relative to the flow. */
export function describe(packet: LivePacket, flow: Flow | null): string {
  const seq = (packet.seq - (flow?.localIsn ?? 0)) >>> 0;
  const ack = (packet.ack - (flow?.remoteIsn ?? 0)) >>> 0;
  const flags = flagText(packet.flags);
  const acknowledges = (packet.flags & 16) !== 0 ? ` ack ${ack}` : '';
  const options = packet.options.map(option => optionText(option, flow)).join(', ');
  const range = `${seq}:${seq + packet.length}(${packet.length})`;
  return `${flags} ${range}${acknowledges} win ${packet.window} <${options}>`;
}

export function flagText(flags: number): string {
  let text = '';
  for (const [letter, bit] of FLAGS) if ((flags & bit) !== 0) text += letter;
  return text === '' ? '-' : text;
}

export const FLAGS: readonly (readonly [string, number])[] = [
  ['F', 1],
  ['S', 2],
  ['R', 4],
  ['P', 8],
  ['U', 32],
  ['E', 64],
  ['W', 128],
  ['A', 256],
  ['.', 16],
];

function optionText({ kind, data }: LiveOption, flow: Flow | null): string {
  switch (kind) {
    case 0:
      return 'eol';
    case 1:
      return 'nop';
    case 2:
      return `mss ${data.readUInt16BE(0)}`;
    case 3:
      return `wscale ${data[0]}`;
    case 4:
      return 'sackOK';
    case 5:
      return `sack ${sackText(data, flow)}`;
    case 8:
      return `TS val ${data.readUInt32BE(0)} ecr ${data.readUInt32BE(4)}`;
    case 30:
      return multipathText(data, flow);
    case 34:
      return `FO ${data.toString('hex')}`;
    default:
      return `option ${kind} ${data.toString('hex')}`;
  }
}

function sackText(data: Buffer, flow: Flow | null): string {
  const edges = Array.from(
    { length: data.length / 4 },
    (_, i) => (data.readUInt32BE(i * 4) - (flow?.remoteIsn ?? 0)) >>> 0,
  );
  return Array.from({ length: edges.length / 2 }, (_, i) => `${edges[2 * i]}:${edges[2 * i + 1]}`).join(' ');
}

function multipathText(data: Buffer, flow: Flow | null): string {
  const subtype = data[0] >> 4;
  if (subtype !== 2) return `${SUBTYPES[subtype] ?? `mptcp ${subtype}`}(${data.toString('hex')})`;
  const dss = readDss(data);
  const words = ['dss'];
  const keys = flow?.keys ?? null;
  if (dss.ack !== null) {
    const base = keys?.dsn(0n, false) ?? 0n;
    words.push(`dack${dss.ackBytes}=${BigInt.asUintN(dss.ackBytes * 8, dss.ack - base)}`);
  }
  if (dss.dsn !== null) {
    const base = keys?.dsn(0n, true) ?? 0n;
    words.push(
      `dsn${dss.dsnBytes}=${BigInt.asUintN(dss.dsnBytes * 8, dss.dsn - base)} ssn=${dss.ssn} dll=${dss.length}`,
    );
  }
  if (dss.checksum === null) words.push('nocs');
  if (dss.fin) words.push('fin');
  return words.join(' ');
}

export interface Dss {
  ack: bigint | null;
  ackBytes: number;
  dsn: bigint | null;
  dsnBytes: number;
  ssn: number;
  length: number;
  checksum: number | null;
  fin: boolean;
}

export function readDss(data: Buffer): Dss {
  const flags = data[1];
  const dss: Dss = {
    ack: null,
    ackBytes: (flags & 2) !== 0 ? 8 : 4,
    dsn: null,
    dsnBytes: (flags & 8) !== 0 ? 8 : 4,
    ssn: 0,
    length: 0,
    checksum: null,
    fin: (flags & 16) !== 0,
  };
  let at = 2;
  const number = (bytes: number): bigint => {
    const value = bytes === 8 ? data.readBigUInt64BE(at) : BigInt(data.readUInt32BE(at));
    at += bytes;
    return value;
  };
  if ((flags & 1) !== 0) dss.ack = number(dss.ackBytes);
  if ((flags & 4) !== 0) {
    dss.dsn = number(dss.dsnBytes);
    dss.ssn = data.readUInt32BE(at);
    dss.length = data.readUInt16BE(at + 4);
    if (data.length >= at + 8) dss.checksum = data.readUInt16BE(at + 6);
  }
  return dss;
}

const SUBTYPES = [
  'mpcapable',
  'mp_join',
  'dss',
  'add_address',
  'remove_address',
  'mp_prio',
  'mp_fail',
  'mp_fastclose',
  'mp_reset',
];
