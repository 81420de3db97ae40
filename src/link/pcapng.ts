// The pcapng file format, as much of it as a capture of raw IP packets needs: a section, one interface a
// path, packets with a time and a direction, and nothing to be said at the end.
//
// Decides: little-endian blocks, link type RAW (the packet's first byte is the IP version), times in
// microseconds.
// Read: draft-ietf-opsawg-pcapng §3, §4.1 (section), §4.2 (interface), §4.3 (packet).
// Walk: pcap.ts describes what passes a link with these.

/**
 * Packets that begin with their IP header. The registered number is 101, but libpcap (1.10, and so tcpdump)
 * turns the first interface's into its own, 12, and then finds every further 101 "different from the type of
 * the first interface". 12 is understood by it and by Wireshark alike, for any number of interfaces.
 */
export const LINKTYPE_RAW = 12;

/** Opens a section; `application` is who wrote it. */
export function sectionBlock(application: string): Uint8Array {
  const options = optionList([[OPTION_APPLICATION, text(application)]]);
  const body = new Uint8Array(16 + options.length);
  const view = new DataView(body.buffer);
  view.setUint32(0, BYTE_ORDER_MAGIC, true);
  view.setUint16(4, 1, true);
  view.setUint16(6, 0, true);
  view.setBigInt64(8, -1n, true);
  body.set(options, 16);
  return block(SECTION, body);
}

/** Describes the next interface: they are numbered in the order of their descriptions, from 0. */
export function interfaceBlock(description: { name: string; address: string }): Uint8Array {
  const options = optionList([
    [OPTION_NAME, text(description.name)],
    [OPTION_DESCRIPTION, text(description.address)],
  ]);
  const body = new Uint8Array(8 + options.length);
  const view = new DataView(body.buffer);
  view.setUint16(0, LINKTYPE_RAW, true);
  view.setUint32(4, 0, true);
  body.set(options, 8);
  return block(INTERFACE, body);
}

/** One packet: `timeUs` in microseconds since 1970. */
export function packetBlock(packet: {
  readonly interfaceNumber: number;
  readonly timeUs: number;
  readonly inbound: boolean;
  readonly bytes: Uint8Array;
  readonly offset: number;
  readonly length: number;
  /** Shown beside the packet. */
  readonly comment?: string;
}): Uint8Array {
  const { length } = packet;
  const padded = (length + 3) & ~3;
  const flags = new Uint8Array([packet.inbound ? INBOUND : OUTBOUND, 0, 0, 0]);
  const options = optionList([
    [OPTION_FLAGS, flags],
    ...(packet.comment ? [[OPTION_COMMENT, text(packet.comment)] as const] : []),
  ]);
  const body = new Uint8Array(20 + padded + options.length);
  const view = new DataView(body.buffer);
  view.setUint32(0, packet.interfaceNumber, true);
  const timeUs = Math.floor(packet.timeUs);
  view.setUint32(4, Math.floor(timeUs / 2 ** 32), true);
  view.setUint32(8, timeUs % 2 ** 32, true);
  view.setUint32(12, length, true);
  view.setUint32(16, length, true);
  body.set(packet.bytes.subarray(packet.offset, packet.offset + length), 20);
  body.set(options, 20 + padded);
  return block(ENHANCED_PACKET, body);
}

/** Where the packet's bytes stand in its block. */
export const PACKET_DATA_OFFSET = 28;

function block(type: number, body: Uint8Array): Uint8Array {
  const length = 12 + body.length;
  const out = new Uint8Array(length);
  const view = new DataView(out.buffer);
  view.setUint32(0, type, true);
  view.setUint32(4, length, true);
  out.set(body, 8);
  view.setUint32(length - 4, length, true);
  return out;
}

function optionList(options: readonly (readonly [number, Uint8Array])[]): Uint8Array {
  let length = 4;
  for (const [, value] of options) length += 4 + ((value.length + 3) & ~3);
  const out = new Uint8Array(length);
  const view = new DataView(out.buffer);
  let at = 0;
  for (const [code, value] of options) {
    view.setUint16(at, code, true);
    view.setUint16(at + 2, value.length, true);
    out.set(value, at + 4);
    at += 4 + ((value.length + 3) & ~3);
  }
  return out;
}

function text(value: string): Uint8Array {
  return new TextEncoder().encode(value);
}

const SECTION = 0x0a0d0d0a;
const INTERFACE = 1;
const ENHANCED_PACKET = 6;
const BYTE_ORDER_MAGIC = 0x1a2b3c4d;
const OPTION_COMMENT = 1;
const OPTION_NAME = 2;
const OPTION_DESCRIPTION = 3;
const OPTION_APPLICATION = 4;
const OPTION_FLAGS = 2;
const INBOUND = 1;
const OUTBOUND = 2;
