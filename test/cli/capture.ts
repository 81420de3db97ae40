// Reads a capture file back: just enough pcapng, written from its specification and not from our writer.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { decodePacket, Segment, verifyChecksum } from '../../src/wire/index.ts';

export interface CapturedPacket {
  readonly interfaceNumber: number;
  readonly timeUs: number;
  readonly inbound: boolean;
  /** '' for none. */
  readonly comment: string;
  /** A raw IP packet. */
  readonly bytes: Uint8Array;
}

export interface CaptureFile {
  /** Their names, in the order of their numbers. */
  readonly interfaces: readonly string[];
  readonly packets: readonly CapturedPacket[];
}

/** The whole file, of which every block must be complete. */
export function readCapture(path: string): CaptureFile {
  const file = readFileSync(path);
  const interfaces: string[] = [];
  const packets: CapturedPacket[] = [];
  for (let at = 0; at < file.length; ) {
    const type = file.readUInt32LE(at);
    const length = file.readUInt32LE(at + 4);
    assert.ok(length % 4 === 0 && at + length <= file.length, `a block of ${length} bytes at ${at}`);
    assert.equal(file.readUInt32LE(at + length - 4), length, 'a block says its length twice');
    const body = file.subarray(at + 8, at + length - 4);
    if (at === 0) assert.deepEqual([type, body.readUInt32LE(0)], [0x0a0d0d0a, 0x1a2b3c4d]);
    if (type === 1) {
      assert.equal(body.readUInt16LE(0), 12, 'raw IP');
      interfaces.push(optionOf(body.subarray(8), 2)?.toString() ?? '');
    }
    if (type === 6) packets.push(packetOf(body));
    at += length;
  }
  for (const { interfaceNumber } of packets) assert.ok(interfaceNumber < interfaces.length);
  return { interfaces, packets };
}

/** The TCP stream in one direction of the one subflow that the packets are of. */
export function streamOf(packets: readonly CapturedPacket[]): Buffer {
  const segment = new Segment();
  let first = -1;
  const parts = new Map<number, Buffer>();
  for (const { bytes } of packets) {
    assert.ok(decodePacket(segment, bytes, 0, bytes.length), 'a TCP packet');
    assert.ok(verifyChecksum(bytes, 0, bytes.length), 'with a right checksum');
    if ((segment.flags & 2) !== 0) first = (segment.seq + 1) >>> 0;
    const { payloadOffset, payloadLength } = segment;
    if (payloadLength === 0) continue;
    const offset = (segment.seq - first) >>> 0;
    parts.set(offset, Buffer.from(bytes.subarray(payloadOffset, payloadOffset + payloadLength)));
  }
  assert.notEqual(first, -1, 'there is a SYN');
  const end = Math.max(0, ...[...parts].map(([offset, part]) => offset + part.length));
  const stream = Buffer.alloc(end);
  for (const [offset, part] of parts) part.copy(stream, offset);
  return stream;
}

function packetOf(body: Buffer): CapturedPacket {
  const length = body.readUInt32LE(12);
  assert.equal(body.readUInt32LE(16), length, 'packets are whole');
  const options = body.subarray(20 + ((length + 3) & ~3));
  const flags = optionOf(options, 2)?.readUInt32LE(0) ?? 0;
  return {
    interfaceNumber: body.readUInt32LE(0),
    timeUs: body.readUInt32LE(4) * 2 ** 32 + body.readUInt32LE(8),
    inbound: (flags & 3) === 1,
    comment: optionOf(options, 1)?.toString() ?? '',
    bytes: body.subarray(20, 20 + length),
  };
}

function optionOf(options: Buffer, wanted: number): Buffer | undefined {
  for (let at = 0; at + 4 <= options.length; ) {
    const code = options.readUInt16LE(at);
    const length = options.readUInt16LE(at + 2);
    if (code === wanted) return options.subarray(at + 4, at + 4 + length);
    if (code === 0) return undefined;
    at += 4 + ((length + 3) & ~3);
  }
  return undefined;
}
