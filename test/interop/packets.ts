// Packets between our stack and the kernel, as a middlebox sees them: looked at, changed in place, or dropped.

import type { Bed } from './bed.ts';

/** A TCP segment as it stands in a packet. */
export interface Packet {
  readonly outbound: boolean;
  readonly bytes: Uint8Array;
  readonly tcp: number;
  readonly flags: number;
  readonly payload: number;
  readonly payloadLength: number;
  readonly device: number;
}

/** May change the packet; false drops it. `seen` counts the packets with payload, per direction. */
export type Box = (packet: Packet, seen: { out: number; in: number }) => boolean | undefined;

/** Puts it between the two ends of a bed. */
export function install(bed: Bed, box: Box): void {
  const seen = { out: 0, in: 0 };
  bed.middlebox = (outbound, bytes, offset, device) => {
    const ipv4 = bytes[offset] >> 4 === 4;
    if ((ipv4 ? bytes[offset + 9] : bytes[offset + 6]) !== 6) return true;
    const tcp = offset + (ipv4 ? 20 : 40);
    const total = ipv4
      ? (bytes[offset + 2] << 8) | bytes[offset + 3]
      : 40 + ((bytes[offset + 4] << 8) | bytes[offset + 5]);
    const payload = tcp + ((bytes[tcp + 12] >> 4) << 2);
    const payloadLength = offset + total - payload;
    if (payloadLength > 0) {
      if (outbound) seen.out++;
      else seen.in++;
    }
    return (
      box({ outbound, bytes, tcp, flags: bytes[tcp + 13], payload, payloadLength, device }, seen) ?? true
    );
  };
}

/** Changes one byte of the n-th segment with payload in one direction, keeping its length. */
export function damageOnce(outbound: boolean, n: number): Box {
  let done = false;
  return (packet, seen) => {
    if (packet.outbound === outbound && packet.payloadLength > 20 && !done) {
      if ((outbound ? seen.out : seen.in) >= n) {
        done = true;
        packet.bytes[packet.payload + 10] ^= 0x5a;
      }
    }
    return true;
  };
}

/** Where the first option of Multipath TCP begins, of one subtype if given; -1 without. */
export function optionAt({ bytes, tcp, payload }: Packet, subtype?: number): number {
  for (let at = tcp + 20; at < payload && bytes[at] !== 0; ) {
    if (bytes[at] === MPTCP && (subtype === undefined || bytes[at + 2] >> 4 === subtype)) return at;
    at += bytes[at] === 1 ? 1 : Math.max(2, bytes[at + 1]);
  }
  return -1;
}

/** Overwrites every option of Multipath TCP with padding. */
export function removeOptions(packet: Packet): void {
  for (let at = optionAt(packet); at >= 0; at = optionAt(packet)) {
    packet.bytes.fill(1, at, at + packet.bytes[at + 1]);
  }
}

const MPTCP = 30;
