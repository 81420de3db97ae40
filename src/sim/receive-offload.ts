// What receive offload does on a real machine: consecutive pieces of one flow that arrive together
// become one super-segment before the host sees them. Only what a network card may merge is merged: same
// flow and mark, numbers that follow on, same acknowledgement, flags, window and options, no piece larger
// than the first, nothing behind a PSH, a FIN or a shorter piece.
// Before it: driver.ts, packet by packet of a batch. After it: the host, by way of `deliver`.

import { copyBytes, foldChecksum, onesComplementSum, verifyChecksum, writeChecksum } from '../wire/index.ts';
import type { NetworkInterface } from './network.ts';

/** Takes a packet, merged or as it came. */
export type Deliver = (to: NetworkInterface, bytes: Uint8Array, offset: number, length: number) => void;

export class ReceiveOffload {
  private readonly deliver: Deliver;
  private readonly merged: Uint8Array = new Uint8Array(65_536);
  private to: NetworkInterface | undefined;
  private length = 0;
  private headers = 0;
  private firstPayload = 0;
  private pieces = 0;
  private open = false;

  constructor(deliver: Deliver) {
    this.deliver = deliver;
  }

  /** The next packet of the batch. */
  packet(to: NetworkInterface, bytes: Uint8Array, offset: number, length: number): void {
    const headers = mergeableHeaders(bytes, offset, length, to.checksumOffload);
    if (headers > 0 && this.follows(to, bytes, offset, length, headers)) {
      this.append(bytes, offset, length, headers);
      return;
    }
    this.flush();
    if (headers === 0) {
      this.deliver(to, bytes, offset, length);
      return;
    }
    copyBytes(bytes, offset, this.merged, 0, length);
    this.to = to;
    this.length = length;
    this.headers = headers;
    this.firstPayload = length - headers;
    this.pieces = 1;
    this.open = (bytes[offset + tcpOffset(bytes, offset) + 13] & ENDS) === 0;
  }

  /** The batch is over: what is held goes to the host. */
  flush(): void {
    const to = this.to;
    if (to === undefined) return;
    this.to = undefined;
    if (this.pieces > 1) this.seal(to.checksumOffload);
    this.deliver(to, this.merged, 0, this.length);
  }

  private follows(
    to: NetworkInterface,
    bytes: Uint8Array,
    offset: number,
    length: number,
    headers: number,
  ): boolean {
    if (to !== this.to || !this.open || headers !== this.headers) return false;
    const payload = length - headers;
    if (payload > this.firstPayload || this.length + payload > 65_535) return false;
    const held = this.merged;
    const tcp = tcpOffset(held, 0);
    if (tcpOffset(bytes, offset) !== tcp) return false;
    // Type of service or traffic class, in which routers mark congestion; in IPv6 the flow label too.
    if (!sameBytes(held, bytes, offset, 1, held[0] >> 4 === 4 ? 2 : 4)) return false;
    const addresses = held[0] >> 4 === 4 ? 12 : 8;
    if (!sameBytes(held, bytes, offset, addresses, tcp + 4)) return false;
    const expected = (uint32(held, tcp + 4) + this.length - this.headers) >>> 0;
    if (uint32(bytes, offset + tcp + 4) !== expected) return false;
    if ((held[tcp + 13] | ENDS) !== (bytes[offset + tcp + 13] | ENDS)) return false;
    return (
      sameBytes(held, bytes, offset, tcp + 8, tcp + 13) &&
      sameBytes(held, bytes, offset, tcp + 14, tcp + 16) &&
      sameBytes(held, bytes, offset, tcp + 20, headers)
    );
  }

  private append(bytes: Uint8Array, offset: number, length: number, headers: number): void {
    const payload = length - headers;
    copyBytes(bytes, offset + headers, this.merged, this.length, payload);
    this.length += payload;
    this.pieces++;
    const tcp = tcpOffset(this.merged, 0);
    const flags = bytes[offset + tcp + 13];
    this.merged[tcp + 13] |= flags & ENDS;
    this.open = payload === this.firstPayload && (flags & ENDS) === 0;
  }

  private seal(checksumOffload: boolean): void {
    const held = this.merged;
    if (held[0] >> 4 === 4) {
      held[2] = this.length >> 8;
      held[3] = this.length;
      held[10] = held[11] = 0;
      const sum = foldChecksum(onesComplementSum(held, 0, tcpOffset(held, 0)));
      held[10] = sum >> 8;
      held[11] = sum;
    } else {
      held[4] = (this.length - 40) >> 8;
      held[5] = this.length - 40;
    }
    if (!checksumOffload) writeChecksum(held, 0, this.length);
  }
}

// Bytes of headers of a packet that may be merged with others, 0 when it may not: plain data with a right
// checksum.
function mergeableHeaders(
  bytes: Uint8Array,
  offset: number,
  length: number,
  checksumOffload: boolean,
): number {
  const tcp = tcpOffset(bytes, offset);
  if (length < tcp + 20 || bytes[offset + (bytes[offset] >> 4 === 4 ? 9 : 6)] !== 6) return 0;
  const headers = tcp + ((bytes[offset + tcp + 12] >> 4) << 2);
  const isPlain = (bytes[offset + tcp + 13] | ENDS) === (ACK | ENDS);
  if (!isPlain || headers >= length) return 0;
  return checksumOffload || verifyChecksum(bytes, offset, length) ? headers : 0;
}

function sameBytes(held: Uint8Array, bytes: Uint8Array, offset: number, from: number, to: number): boolean {
  for (let i = from; i < to; i++) if (held[i] !== bytes[offset + i]) return false;
  return true;
}

function uint32(bytes: Uint8Array, at: number): number {
  return ((bytes[at] << 24) | (bytes[at + 1] << 16) | (bytes[at + 2] << 8) | bytes[at + 3]) >>> 0;
}

function tcpOffset(bytes: Uint8Array, offset: number): number {
  return bytes[offset] >> 4 === 4 ? (bytes[offset] & 15) << 2 : 40;
}

const ACK = 16;
/** PSH and FIN: nothing is merged behind a piece that has one. */
const ENDS = 8 | 1;
