// Raw packets for the tests of the network.

import {
  CapableFlag,
  encodeHeaders,
  Flag,
  Mp,
  parseAddress,
  Segment,
  writeChecksum,
} from '../../src/wire/index.ts';

/** A TCP packet whose payload is 0, 1, 2 …, with a checksum. */
export function packet(options: {
  from: string;
  to: string;
  seq?: number;
  ack?: number;
  flags?: number;
  payloadLength?: number;
  tsVal?: number;
  capable?: boolean;
  prio?: boolean;
  /** The ECN field of the IP header. */
  ecn?: number;
}): Uint8Array {
  const segment = new Segment();
  const words = new Int32Array(4);
  segment.ipVersion = parseAddress(options.from, words) as 4 | 6;
  [segment.src0, segment.src1, segment.src2, segment.src3] = words;
  parseAddress(options.to, words);
  [segment.dst0, segment.dst1, segment.dst2, segment.dst3] = words;
  segment.srcPort = 1000;
  segment.dstPort = 443;
  segment.seq = options.seq ?? 1;
  segment.ack = options.ack ?? 1;
  segment.flags = options.flags ?? Flag.ACK;
  segment.window = 500;
  segment.ecn = options.ecn ?? 0;
  segment.payloadLength = options.payloadLength ?? 0;
  if (options.tsVal !== undefined) {
    segment.hasTimestamps = true;
    segment.tsVal = options.tsVal;
    segment.tsEcr = 7;
  }
  if (options.capable) {
    segment.mp = Mp.CAPABLE;
    segment.capableLength = 4;
    segment.capableVersion = 1;
    segment.capableFlags = CapableFlag.HMAC_SHA256;
  }
  if (options.prio) segment.mp = Mp.PRIO;
  const bytes = new Uint8Array(80 + segment.payloadLength);
  const headers = encodeHeaders(segment, bytes, 0);
  const length = headers + segment.payloadLength;
  for (let i = headers; i < length; i++) bytes[i] = i - headers;
  writeChecksum(bytes, 0, length);
  return bytes.subarray(0, length);
}
