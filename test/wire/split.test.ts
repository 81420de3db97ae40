/**
 * Software segmentation: the pieces are the packet.
 */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import {
  decodePacket,
  encodeHeaders,
  Flag,
  optionsLength,
  Segment,
  type SplitSink,
  splitPacket,
  verifyChecksum,
} from '../../src/wire/index.ts';
import { arbitrarySegment, meaning } from './arbitrary-segment.ts';
import { assemble, bytes, hex } from './assemble.ts';

/** Keeps a copy of each piece, and takes each at another offset of the same buffer. */
class Collector implements SplitSink {
  readonly buffer: Uint8Array = new Uint8Array(70_000);
  offset = 3;
  readonly checksum: boolean;
  readonly pieces: Uint8Array[] = [];

  constructor(checksum: boolean) {
    this.checksum = checksum;
  }

  piece(length: number): void {
    this.pieces.push(this.buffer.slice(this.offset, this.offset + length));
    this.buffer.fill(0xee, this.offset, this.offset + length);
    this.offset = (this.offset + 5) % 16;
  }
}

function split(packet: Uint8Array, segmentSize: number, checksum = true): Uint8Array[] {
  const sink = new Collector(checksum);
  const count = splitPacket(packet, 0, packet.length, segmentSize, sink);
  assert.equal(count, sink.pieces.length);
  return sink.pieces;
}

function decoded(packet: Uint8Array): Segment {
  const segment = new Segment();
  assert.ok(decodePacket(segment, packet, 0, packet.length));
  return segment;
}

describe('splitPacket', () => {
  it('makes pieces that are the packet again, options on each', () => {
    fc.assert(
      fc.property(arbitrarySegment, fc.integer({ min: 500, max: 3000 }), (segment, segmentSize) => {
        fc.pre(segment.payloadLength > 0 && optionsLength(segment) <= 40);
        segment.flags |= Flag.PSH | Flag.FIN | Flag.CWR;
        const packet = new Uint8Array(70_000);
        const headerBytes = encodeHeaders(segment, packet, 0);
        const length = headerBytes + segment.payloadLength;
        for (let i = headerBytes; i < length; i++) packet[i] = (i * 7) ^ (i >> 8);
        const original = packet.slice(0, length);
        const pieces = split(original, segmentSize);
        assert.equal(pieces.length, Math.ceil(segment.payloadLength / segmentSize));
        let at = 0;
        for (const [i, piece] of pieces.entries()) {
          assert.ok(verifyChecksum(piece, 0, piece.length));
          const part = decoded(piece);
          const last = i === pieces.length - 1;
          assert.equal(part.payloadLength, last ? segment.payloadLength - at : segmentSize);
          assert.equal(part.seq, (segment.seq + at) >>> 0);
          const kept = Flag.PSH | Flag.FIN | Flag.CWR;
          const expected = (i === 0 ? Flag.CWR : 0) | (last ? Flag.PSH | Flag.FIN : 0);
          assert.equal(part.flags, (segment.flags & ~kept) | expected);
          const start = headerBytes + at;
          assert.deepEqual(
            piece.subarray(part.payloadOffset),
            original.subarray(start, start + part.payloadLength),
          );
          at += part.payloadLength;
          Object.assign(part, {
            seq: segment.seq,
            flags: segment.flags,
            payloadLength: segment.payloadLength,
          });
          assert.deepEqual(meaning(part), meaning(segment));
        }
        assert.equal(at, segment.payloadLength);
      }),
      { numRuns: 300 },
    );
  });

  it('counts IPv4 ids up, and wraps them', () => {
    const packet = assemble({ payload: new Uint8Array(30) });
    packet[4] = 0xff;
    packet[5] = 0xff;
    const ids = split(packet, 10).map(piece => hex(piece.slice(4, 6)));
    assert.deepEqual(ids, ['ff ff', '00 00', '00 01']);
  });

  it('leaves a packet that is small enough as it is', () => {
    for (const version of [4, 6] as const) {
      const packet = assemble({ version, flags: 0x19, payload: bytes('01 02 03') });
      assert.deepEqual(split(packet, 3), [packet]);
      const bare = assemble({ version, flags: Flag.SYN });
      assert.deepEqual(split(bare, 1), [bare]);
    }
  });

  it('leaves the TCP checksum 0 when none is asked for', () => {
    for (const piece of split(assemble({ payload: new Uint8Array(20) }), 10, false)) {
      assert.deepEqual([piece[36], piece[37]], [0, 0]);
    }
  });

  it('keeps IPv6 extension headers on each piece', () => {
    const extensions = { next: 60, bytes: bytes('06 00 01 04 00 00 00 00') };
    const pieces = split(assemble({ version: 6, extensions, payload: new Uint8Array(25) }), 10);
    assert.deepEqual(
      pieces.map(piece => piece.length),
      [78, 78, 73],
    );
    for (const piece of pieces) {
      assert.equal(decoded(piece).payloadOffset, 68);
      assert.ok(verifyChecksum(piece, 0, piece.length));
    }
  });

  it('makes nothing of what is no TCP packet, or of a size below 1', () => {
    const packet = assemble({ payload: new Uint8Array(20) });
    assert.deepEqual(split(packet.slice(0, 59), 10), []);
    assert.deepEqual(split(packet, 0), []);
    assert.deepEqual(split(packet, Number.NaN), []);
    packet[9] = 17;
    assert.deepEqual(split(packet, 10), []);
  });

  it('throws when a piece has no room', () => {
    const packet = assemble({ payload: new Uint8Array(20) });
    const sink: SplitSink = { buffer: new Uint8Array(49), offset: 0, checksum: true, piece: () => {} };
    assert.throws(() => splitPacket(packet, 0, packet.length, 10, sink), /room/);
  });
});
