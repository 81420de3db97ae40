/**
 * What a segment costs in the codecs: nanoseconds, and bytes allocated, which must be none.
 */
import {
  copyBytes,
  type Datagram,
  DssFlag,
  decapsulate,
  decodePacket,
  encapsulate,
  encodeHeaders,
  Flag,
  Mp,
  onesComplementSum,
  Segment,
  type SplitSink,
  splitPacket,
  verifyChecksum,
  writeChecksum,
} from '../src/wire/index.ts';
import { type Measurement, measure, rounded } from './measure.ts';

/** Runs every measurement once, in a few seconds. */
export function benchWire(): Measurement[] {
  return [...benchHeaders(), ...benchBytes(), ...benchSplit()];
}

function benchHeaders(): Measurement[] {
  const segment = dataSegment();
  const bytes = new Uint8Array(2048);
  const length = encodeHeaders(segment, bytes, 0) + segment.payloadLength;
  const target = new Segment();
  const ack = dataSegment();
  ack.payloadLength = 0;
  ack.dssFlags = DssFlag.DATA_ACK | DssFlag.DATA_ACK_64;
  return [
    measure('decode data segment (timestamps, DSS)', i => {
      // A moving sequence number, as in life: nothing here can be computed once and kept.
      bytes[24] = i;
      decodePacket(target, bytes, 0, length);
      return target.dsnLo | 0;
    }),
    measure('encode data segment (timestamps, DSS)', i => {
      segment.seq = (4_000_000_000 + i) >>> 0;
      return encodeHeaders(segment, bytes, 0);
    }),
    measure('encode pure ACK with its checksum', i => {
      ack.ack = (4_000_000_000 + i) >>> 0;
      const bytesWritten = encodeHeaders(ack, bytes, 0);
      writeChecksum(bytes, 0, bytesWritten);
      return bytes[36];
    }),
  ];
}

function benchBytes(): Measurement[] {
  const bytes = new Uint8Array(70_000).fill(0xa5);
  const out = new Uint8Array(70_000);
  const segment = dataSegment();
  const length = encodeHeaders(segment, bytes, 0) + segment.payloadLength;
  writeChecksum(bytes, 0, length);
  const packet = bytes.slice(0, length);
  const payload = bytes.slice(28, length);
  const datagram: Datagram = Object.assign(new Segment(), {
    bytes: payload,
    offset: 0,
    length: payload.length,
    out,
    outOffset: 0,
  });
  return [
    measure('checksum 1448 bytes', i => onesComplementSum(bytes, i & 63, 1448)),
    measure('checksum 65536 bytes', i => onesComplementSum(bytes, i & 63, 65_536), 100_000),
    measure('verify the checksum of a data segment', () => (verifyChecksum(packet, 0, length) ? 1 : 0)),
    measure('copy 1448 bytes', i => {
      copyBytes(bytes, i & 63, out, 0, 1448);
      return out[0];
    }),
    measure('data segment into UDP payload', () => {
      packet[0] = 0x45;
      packet[32] = 0x80;
      packet[33] = Flag.ACK;
      return encapsulate(packet, 0, length);
    }),
    measure('UDP payload into data segment', () => decapsulate(datagram)),
  ];
}

function benchSplit(): Measurement[] {
  const segment = dataSegment();
  segment.payloadLength = 44 * 1448;
  const bytes = new Uint8Array(66_000);
  const length = encodeHeaders(segment, bytes, 0) + segment.payloadLength;
  const sink: SplitSink & { pieces: number } = {
    buffer: new Uint8Array(2048),
    offset: 0,
    checksum: true,
    pieces: 0,
    piece() {
      this.pieces++;
    },
  };
  const whole = measure('split', () => splitPacket(bytes, 0, length, 1448, sink), 20_000);
  return [
    {
      name: 'one piece of a split super-segment, with checksum',
      nsPerOp: rounded(whole.nsPerOp / 44),
      bytesPerOp: rounded(whole.bytesPerOp / 44),
    },
  ];
}

function dataSegment(): Segment {
  const segment = new Segment();
  segment.src2 = 0xffff;
  segment.src3 = 0x0a000001;
  segment.dst2 = 0xffff;
  segment.dst3 = 0x0a000002;
  segment.srcPort = 50_000;
  segment.dstPort = 443;
  segment.seq = 4_000_000_000;
  segment.ack = 3_000_000_000;
  segment.flags = Flag.ACK | Flag.PSH;
  segment.window = 65_535;
  segment.hasTimestamps = true;
  segment.tsVal = 0xfedc_ba98;
  segment.tsEcr = 0xffff_0000;
  segment.mp = Mp.DSS;
  segment.dssFlags = DssFlag.DATA_ACK | DssFlag.MAP | DssFlag.DSN_64;
  segment.dataAckLo = 0xf000_0001;
  segment.dsnHi = 0xf000_0002;
  segment.dsnLo = 0xf000_0003;
  segment.ssn = 0xf000_0004;
  segment.dataLength = 1436;
  segment.payloadLength = 1436;
  return segment;
}
