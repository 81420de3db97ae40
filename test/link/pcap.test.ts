// A capture: what the file says, block by block, and that recording changes nothing of what passes.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Capture, type Link, type LinkSink, memoryPair } from '../../src/link/index.ts';
import { encodeHeaders, Flag, headerLength, Segment, verifyChecksum } from '../../src/wire/index.ts';

interface Block {
  readonly type: number;
  readonly body: DataView;
}

function record(): { blocks: () => Block[]; capture: Capture; times: number[] } {
  const chunks: Uint8Array[] = [];
  const times = [1_700_000_000_123_456, 1_700_000_000_123_457, 1_700_000_001_000_000];
  let next = 0;
  const capture = new Capture({ write: bytes => chunks.push(bytes), nowUs: () => times[next++] });
  return { blocks: () => parse(Buffer.concat(chunks)), capture, times };
}

/** Splits a file into its blocks, each of which says its length twice. */
function parse(file: Buffer): Block[] {
  const blocks: Block[] = [];
  for (let at = 0; at < file.length; ) {
    const length = file.readUInt32LE(at + 4);
    assert.equal(length % 4, 0);
    assert.equal(file.readUInt32LE(at + length - 4), length);
    const body = new DataView(file.buffer, file.byteOffset + at + 8, length - 12);
    blocks.push({ type: file.readUInt32LE(at), body });
    at += length;
  }
  return blocks;
}

/** A TCP packet with a checksum field of 0, as a host writes it for a link with checksum offload. */
function packet(payload: string): Uint8Array {
  const segment = new Segment();
  segment.src2 = segment.dst2 = 0xffff;
  segment.src3 = 0x0a000001;
  segment.dst3 = 0x0a000002;
  segment.srcPort = 1000;
  segment.dstPort = 2000;
  segment.flags = Flag.ACK;
  segment.payloadLength = payload.length;
  const bytes = new Uint8Array(headerLength(segment) + payload.length);
  bytes.set(Buffer.from(payload), encodeHeaders(segment, bytes, 0));
  return bytes;
}

function sink(): LinkSink & { readonly packets: number[] } {
  const packets: number[] = [];
  return {
    packets,
    packet: (_link: Link, _bytes: Uint8Array, _offset: number, length: number) => packets.push(length),
    mtuChanged: () => {},
    refused: () => {},
  };
}

test('a section, an interface a link, and packets with time, direction and a right checksum', () => {
  const { blocks, capture, times } = record();
  const { a, b, deliver } = memoryPair({ addresses: ['10.0.0.1', '10.0.0.2'] });
  const first = capture.record(a);
  const second = capture.record(b);
  first.attach(sink());
  second.attach(sink());
  const sent = packet('hello');
  first.send(sent, 0, sent.length, 1000);
  deliver();
  const [section, one, two, out, arrived, ...rest] = blocks();
  assert.deepEqual(rest, []);
  assert.equal(section.type, 0x0a0d0d0a);
  assert.equal(section.body.getUint32(0, true), 0x1a2b3c4d);
  assert.deepEqual([one.type, two.type], [1, 1]);
  for (const [i, block] of [out, arrived].entries()) {
    const { body } = block;
    assert.equal(block.type, 6);
    assert.equal(body.getUint32(0, true), i, 'interface');
    assert.equal(body.getUint32(4, true) * 2 ** 32 + body.getUint32(8, true), times[i]);
    assert.deepEqual([body.getUint32(12, true), body.getUint32(16, true)], [sent.length, sent.length]);
    const bytes = new Uint8Array(body.buffer, body.byteOffset + 20, sent.length);
    assert.ok(verifyChecksum(bytes, 0, sent.length));
    assert.equal(Buffer.from(bytes.subarray(sent.length - 5)).toString(), 'hello');
    const flags = body.getUint32(20 + ((sent.length + 3) & ~3) + 4, true);
    assert.equal(flags & 3, i === 0 ? 2 : 1, 'direction');
  }
});

test('what is recorded passes as if it were not, and is not changed', () => {
  const { capture } = record();
  const { a, b, deliver } = memoryPair({ addresses: ['10.0.0.1', '10.0.0.2'] });
  const recorded = capture.record(a);
  const at = sink();
  b.attach(at);
  assert.deepEqual([recorded.address, recorded.mtu, recorded.gsoMax], [a.address, a.mtu, a.gsoMax]);
  const sent = packet('hello');
  const before = Buffer.from(sent);
  recorded.send(sent, 0, sent.length, 1000);
  deliver();
  assert.deepEqual(Buffer.from(sent), before);
  assert.deepEqual(at.packets, [sent.length]);
  assert.equal(recorded.counters['sent'], 1);
  recorded.close();
  recorded.send(sent, 0, sent.length, 1000);
  assert.equal(a.counters['dropped'], 1);
});

test('what is no TCP packet is recorded as it is', () => {
  const { blocks, capture } = record();
  const { a } = memoryPair({ addresses: ['10.0.0.1', '10.0.0.2'] });
  const junk = Uint8Array.of(1, 2, 3);
  capture.record(a).send(junk, 0, 3, 1000);
  const last = blocks().at(-1);
  assert.ok(last);
  assert.deepEqual([...new Uint8Array(last.body.buffer, last.body.byteOffset + 20, 4)], [1, 2, 3, 0]);
});
