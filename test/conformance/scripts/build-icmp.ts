// Decides the bytes of an ICMP error that a script sends about a segment of the stack under test.
// Read: RFC 792, RFC 4443 §3. Before: run-script. After: machine.

import { addressBytes, type Flow } from './flow.ts';
import { type IcmpEvent, Unsupported } from './script.ts';

export function buildIcmp(event: IcmpEvent, flow: Flow): Buffer {
  const local = addressBytes(flow.local);
  const remote = addressBytes(flow.remote);
  const isV6 = local.length === 16;
  const tcp = Buffer.alloc(20);
  tcp.writeUInt16BE(flow.localPort, 0);
  tcp.writeUInt16BE(flow.remotePort, 2);
  tcp.writeUInt32BE(flow.localNumber(event.seq, false), 4);
  tcp[12] = 5 << 4;
  const quoted = Buffer.concat([ipHeader(local, remote, TCP, tcp.length + event.length), tcp]);
  const [type, code] = numbers(event, isV6);
  const head = Buffer.alloc(8);
  head[0] = type;
  head[1] = code;
  if (isV6) head.writeUInt32BE(event.mtu, 4);
  else head.writeUInt16BE(event.mtu, 6);
  const error = Buffer.concat([head, quoted]);
  const covered = isV6 ? Buffer.concat([remote, local, u32(error.length), u32(ICMPV6), error]) : error;
  error.writeUInt16BE(checksum(covered), 2);
  return Buffer.concat([ipHeader(remote, local, isV6 ? ICMPV6 : ICMP, error.length), error]);
}

function numbers({ kind, code }: IcmpEvent, isV6: boolean): readonly [number, number] {
  const types = isV6 ? TYPES_V6 : TYPES_V4;
  const type = types[kind];
  if (type === undefined) throw new Unsupported(`ICMP ${kind}`);
  const codes = isV6 ? CODES_V6 : CODES_V4;
  const number = code === null ? 0 : codes[code];
  if (number === undefined) throw new Unsupported(`ICMP ${code}`);
  return [type, number];
}

function ipHeader(source: Buffer, target: Buffer, protocol: number, length: number): Buffer {
  const isV6 = source.length === 16;
  const header = Buffer.alloc(isV6 ? 8 : 12);
  if (isV6) {
    header[0] = 0x60;
    header.writeUInt16BE(length, 4);
    header[6] = protocol;
    header[7] = 64;
  } else {
    header[0] = 0x45;
    header.writeUInt16BE(20 + length, 2);
    header[8] = 64;
    header[9] = protocol;
  }
  const whole = Buffer.concat([header, source, target]);
  if (!isV6) whole.writeUInt16BE(checksum(whole), 10);
  return whole;
}

function checksum(bytes: Buffer): number {
  let sum = 0;
  for (let at = 0; at < bytes.length; at += 2) sum += (bytes[at] << 8) | (bytes[at + 1] ?? 0);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return ~sum & 0xffff;
}

function u32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
}

const TCP = 6;
const ICMP = 1;
const ICMPV6 = 58;
const TYPES_V4: Readonly<Record<string, number>> = {
  unreachable: 3,
  time_exceeded: 11,
  parameter_problem: 12,
};
const TYPES_V6: Readonly<Record<string, number>> = { unreachable: 1, packet_too_big: 2, time_exceeded: 3 };
const CODES_V4: Readonly<Record<string, number>> = {
  net_unreachable: 0,
  host_unreachable: 1,
  protocol_unreachable: 2,
  port_unreachable: 3,
  frag_needed: 4,
  source_route_failed: 5,
  net_unknown: 6,
  host_unknown: 7,
  admin_prohibited: 13,
};
const CODES_V6: Readonly<Record<string, number>> = {
  noroute: 0,
  net_unreachable: 0,
  admin_prohibited: 1,
  not_neighbour: 2,
  addr_unreachable: 3,
  host_unreachable: 3,
  port_unreachable: 4,
};
