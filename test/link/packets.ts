// Builds the TCP packets of this folder's tests, and says what matters of those that arrive.

import {
  decodePacket,
  encodeHeaders,
  Flag,
  headerLength,
  parseAddress,
  Segment,
} from '../../src/wire/index.ts';

export interface PacketFields {
  readonly src: string;
  readonly dst: string;
  readonly srcPort: number;
  readonly dstPort: number;
  readonly seq?: number;
  readonly ack?: number;
  readonly flags?: number;
  readonly payload?: Uint8Array;
}

/** One raw IP packet with a timestamp option. */
export function packet(fields: PacketFields): Uint8Array {
  const segment = new Segment();
  segment.reset();
  const words = new Int32Array(4);
  segment.ipVersion = parseAddress(fields.src, words) as 4 | 6;
  [segment.src0, segment.src1, segment.src2, segment.src3] = words;
  parseAddress(fields.dst, words);
  [segment.dst0, segment.dst1, segment.dst2, segment.dst3] = words;
  segment.srcPort = fields.srcPort;
  segment.dstPort = fields.dstPort;
  segment.seq = fields.seq ?? 1000;
  segment.ack = fields.ack ?? 2000;
  segment.flags = fields.flags ?? Flag.ACK;
  segment.window = 4321;
  segment.hasTimestamps = true;
  segment.tsVal = 77;
  segment.tsEcr = 66;
  const payload = fields.payload ?? new Uint8Array(0);
  segment.payloadLength = payload.length;
  const out = new Uint8Array(headerLength(segment) + payload.length);
  encodeHeaders(segment, out, 0);
  out.set(payload, out.length - payload.length);
  return out;
}

/** The fields of a packet that a link must carry unchanged. */
export function contentsOf(bytes: Uint8Array): Record<string, unknown> {
  const segment = new Segment();
  if (!decodePacket(segment, bytes, 0, bytes.length)) throw new Error('not a TCP packet');
  const { srcPort, dstPort, seq, ack, flags, window, tsVal, tsEcr, payloadOffset, payloadLength } = segment;
  return {
    source: [segment.src0, segment.src1, segment.src2, segment.src3],
    destination: [segment.dst0, segment.dst1, segment.dst2, segment.dst3],
    ...{ srcPort, dstPort, seq, ack, flags, window, tsVal, tsEcr },
    payload: Buffer.from(bytes.subarray(payloadOffset, payloadOffset + payloadLength)).toString('hex'),
  };
}
