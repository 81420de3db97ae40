// The data structures below a connection against models a page long: random operations, every answer compared.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { Ready } from '../../src/tcp/byte-stream.ts';
import { RangeSet } from '../../src/tcp/range-set.ts';
import { ReceiveBuffer } from '../../src/tcp/receive-buffer.ts';
import { SendBuffer } from '../../src/tcp/send-buffer.ts';
import { Sent, SentQueue } from '../../src/tcp/sent-queue.ts';
import { STATE_NAMES, State } from '../../src/tcp/state.ts';
import { Hold, Recovery, windowScaleFor } from '../../src/tcp/tcb.ts';
import { TIMER_COUNT, Timer } from '../../src/tcp/timers.ts';
import { Frto } from '../../src/tcp/undo.ts';
import { byteAt, stream } from './peer.ts';

const runs = { numRuns: 400 };

test('RangeSet: like a set of numbers', () => {
  const span = fc.tuple(fc.nat(60), fc.nat(15)).map(([a, n]) => [a, a + n] as const);
  const operation = fc.record({ kind: fc.constantFrom('add', 'add', 'remove'), span });
  fc.assert(
    fc.property(fc.array(operation, { maxLength: 60 }), operations => {
      const set = new RangeSet();
      const model = new Set<number>();
      for (const { kind, span } of operations) {
        const [start, end] = span;
        const before = model.size;
        for (let i = start; i < end; i++) kind === 'add' ? model.add(i) : model.delete(i);
        if (kind === 'add') assert.equal(set.add(start, end), model.size - before);
        else set.remove(start, end);
        assert.equal(set.bytes, model.size);
        for (let i = 0; i < 80; i++) {
          assert.equal(set.contains(i, i + 1), model.has(i));
          const next = set.firstEndingAfter(i);
          if (next > 0) assert.ok(set.end(next - 1) <= i);
          if (next < set.count) assert.ok(set.end(next) > i);
        }
        // Sorted, disjoint, not even touching.
        for (let i = 0; i < set.count; i++) {
          assert.ok(set.start(i) < set.end(i));
          if (i > 0) assert.ok(set.end(i - 1) < set.start(i));
        }
      }
    }),
    runs,
  );
});

test('SendBuffer: like one long array', () => {
  const limit = 40_000;
  const operation = fc.oneof(
    fc.record({ kind: fc.constant('write' as const), n: fc.nat(30_000) }),
    fc.record({ kind: fc.constant('release' as const), n: fc.nat(30_000) }),
    fc.record({ kind: fc.constant('copy' as const), n: fc.nat(30_000) }),
  );
  fc.assert(
    fc.property(fc.array(operation, { maxLength: 40 }), operations => {
      const buffer = new SendBuffer({ firstOffset: 1, limitBytes: limit });
      let start = 1;
      let end = 1;
      for (const { kind, n } of operations) {
        if (kind === 'write') {
          const bytes = Uint8Array.from({ length: n }, (_, i) => byteAt(end + i));
          const room = limit - (end - start);
          assert.equal(buffer.freeBytes, room);
          assert.equal(buffer.write(bytes, 0, n), Math.min(n, room));
          end += Math.min(n, room);
        } else if (kind === 'release') {
          buffer.release(start + n);
          start = Math.min(start + n, end);
        } else if (end > start) {
          const from = start + (n % (end - start));
          const length = Math.min(end - from, 1 + (n % 5000));
          const out = new Uint8Array(length);
          buffer.copy(from, length, out, 0);
          for (let i = 0; i < length; i += 97) assert.equal(out[i], byteAt(from + i));
          assert.equal(out[length - 1], byteAt(from + length - 1));
        }
        assert.deepEqual([buffer.start, buffer.end], [start, end]);
        assert.ok(buffer.capacityBytes <= 65_536);
      }
    }),
    { numRuns: 100 },
  );
});

test('ReceiveBuffer: like one long array with holes; nothing is accepted beyond what was offered', () => {
  const limit = 3000;
  const operation = fc.oneof(
    fc.record({ kind: fc.constant('insert' as const), at: fc.nat(4000), n: fc.nat(900) }),
    fc.record({ kind: fc.constant('read' as const), at: fc.constant(0), n: fc.nat(1500) }),
    fc.record({ kind: fc.constant('offer' as const), at: fc.nat(4), n: fc.nat(500) }),
  );
  fc.assert(
    fc.property(fc.array(operation, { maxLength: 80 }), operations => {
      const buffer = new ReceiveBuffer({ firstOffset: 1, limitBytes: limit });
      const have = new Set<number>();
      let read = 1;
      let next = 1;
      for (const { kind, at, n } of operations) {
        if (kind === 'insert') {
          const start = Math.max(1, read - 500) + at;
          const end = Math.min(start + n, Math.max(read + limit, buffer.rightEdge));
          const bytes = Uint8Array.from({ length: n }, (_, i) => byteAt(start + i));
          let fresh = 0;
          for (let i = Math.max(start, next); i < end; i++) {
            if (!have.has(i)) fresh++;
            have.add(i);
          }
          assert.equal(buffer.insert(start, bytes, 0, n), fresh);
          while (have.has(next)) next++;
        } else if (kind === 'read') {
          const out = new Uint8Array(n);
          const taken = buffer.read(out, 0, n);
          assert.equal(taken, Math.min(n, next - read));
          for (let i = 0; i < taken; i++) assert.equal(out[i], byteAt(read + i));
          read += taken;
        } else {
          const unit = 2 ** at;
          const edge = next + buffer.offer(at, n) * unit;
          assert.ok(edge <= Math.max(read + limit, buffer.rightEdge), 'more is promised than fits');
          assert.ok(buffer.rightEdge <= read + limit + unit);
        }
        assert.deepEqual([buffer.readOffset, buffer.next], [read, next]);
        assert.equal(buffer.readableBytes, next - read);
        assert.ok(buffer.capacityBytes <= 16_384);
        for (let i = 0; i < 30; i++)
          assert.equal(buffer.has(next + i * 100, next + i * 100 + 1), have.has(next + i * 100));
      }
    }),
    runs,
  );
});

test('ReceiveBuffer: the first copy of a byte wins', () => {
  const buffer = new ReceiveBuffer({ firstOffset: 1, limitBytes: 1000 });
  buffer.insert(11, new Uint8Array(10).fill(1), 0, 10);
  buffer.insert(1, new Uint8Array(30).fill(2), 0, 30);
  const out = new Uint8Array(30);
  assert.equal(buffer.read(out, 0, 30), 30);
  assert.deepEqual(
    [out.subarray(0, 10), out.subarray(10, 20), out.subarray(20)].map(part => [...new Set(part)]),
    [[2], [1], [2]],
  );
});

interface Entry {
  start: number;
  length: number;
  time: number;
  flags: number;
}

test('SentQueue: like an array of entries', () => {
  const operation = fc.record({
    kind: fc.constantFrom(
      'append',
      'append',
      'ack',
      'split',
      'sacked',
      'lost',
      'resent',
      'allLost',
      'noneLost',
      'noneSacked',
    ),
    a: fc.nat(1000),
    n: fc.integer({ min: 1, max: 400 }),
  });
  fc.assert(
    fc.property(fc.array(operation, { maxLength: 120 }), operations => {
      const queue = new SentQueue();
      const model: Entry[] = [];
      let next = 1;
      let now = 0;
      for (const { kind, a, n } of operations) {
        now++;
        const i = model.length > 0 ? a % model.length : -1;
        if (kind === 'append') {
          queue.append(next, n, now, 0);
          model.push({ start: next, length: n, time: now, flags: 0 });
          next += n;
        } else if (i < 0) {
          continue;
        } else if (kind === 'ack') {
          acknowledge(queue, model, n);
        } else if (kind === 'split' && model[i].length > 1) {
          const at = 1 + (n % (model[i].length - 1));
          queue.splitAt(i, model[i].start + at);
          const entry = model[i];
          model.splice(
            i,
            1,
            { ...entry, length: at },
            { ...entry, start: entry.start + at, length: entry.length - at },
          );
        } else {
          mark(queue, model, kind, i, now);
        }
        compare(queue, model);
      }
    }),
    runs,
  );
});

function acknowledge(queue: SentQueue, model: Entry[], n: number): void {
  if (n >= model[0].length) {
    queue.shift();
    model.shift();
  } else {
    queue.trimHead(n);
    model[0].start += n;
    model[0].length -= n;
  }
}

function mark(queue: SentQueue, model: Entry[], kind: string, i: number, now: number): void {
  if (kind === 'sacked') {
    queue.markSacked(i);
    model[i].flags = (model[i].flags & ~Sent.LOST) | Sent.SACKED;
  } else if (kind === 'lost' && (model[i].flags & Sent.SACKED) === 0) {
    queue.markLost(i);
    model[i].flags |= Sent.LOST;
  } else if (kind === 'resent' && (model[i].flags & Sent.SACKED) === 0) {
    queue.markResent(i, now);
    model[i].flags = (model[i].flags & ~Sent.LOST) | Sent.RETRANSMITTED;
    model[i].time = now;
  } else if (kind === 'allLost') {
    queue.markAllLost();
    for (const entry of model) if ((entry.flags & Sent.SACKED) === 0) entry.flags |= Sent.LOST;
  } else if (kind === 'noneLost') {
    queue.unmarkLost();
    for (const entry of model) entry.flags &= ~Sent.LOST;
  } else if (kind === 'noneSacked') {
    queue.forgetSacked();
    for (const entry of model) entry.flags &= ~Sent.SACKED;
  }
}

function compare(queue: SentQueue, model: readonly Entry[]): void {
  assert.equal(queue.count, model.length);
  const sum = (flag: number): number =>
    model.reduce((s, e) => s + ((e.flags & flag) !== 0 ? e.length : 0), 0);
  assert.equal(queue.sackedBytes, sum(Sent.SACKED));
  assert.equal(queue.lostBytes, sum(Sent.LOST));
  const out = Sent.RETRANSMITTED | Sent.SACKED | Sent.LOST;
  assert.equal(queue.retransmittedOut, model.filter(e => (e.flags & out) === Sent.RETRANSMITTED).length);
  assert.equal(
    queue.firstLost(),
    model.findIndex(e => (e.flags & Sent.LOST) !== 0),
  );
  for (const [i, e] of model.entries()) {
    assert.deepEqual(
      [queue.start(i), queue.length(i), queue.sentMs(i), queue.flags(i)],
      [e.start, e.length, e.time, e.flags],
    );
    assert.equal(queue.find(e.start), i);
    assert.equal(queue.find(e.start + e.length - 1), i);
  }
}

test('window scale: none where none is needed, else the coarsest with so many units in the buffer, at most 14', () => {
  assert.equal(windowScaleFor(65_535, 4_096), 0);
  assert.equal(windowScaleFor(65_536, 4_096), 4);
  assert.equal(windowScaleFor(4 * 1024 * 1024 - 1, 4_096), 9);
  assert.equal(windowScaleFor(4 * 1024 * 1024, 4_096), 10);
  assert.equal(windowScaleFor(2 ** 40, 4_096), 14);
  // Linux's (tcp_select_initial_window), for a tcp_rmem[2] of 6 and of 32 MiB.
  assert.equal(windowScaleFor(6_291_456, 32_768), 7);
  assert.equal(windowScaleFor(33_554_432, 32_768), 10);
  for (const units of [4_096, 32_768, 65_536]) {
    for (let bytes = 1; bytes < 2 ** 29; bytes *= 3) {
      assert.ok(bytes <= 65_535 * 2 ** windowScaleFor(bytes, units), `${bytes} bytes can be offered`);
    }
  }
});

test('what is a bit is one alone, and what is a place in a table is its own', () => {
  for (const bits of [Ready, Sent, Hold]) {
    const all = Object.values(bits) as number[];
    for (const bit of all) assert.equal(Math.log2(bit) % 1, 0, `${bit}`);
    assert.equal(new Set(all).size, all.length);
  }
  for (const places of [State, Timer, Recovery, Frto]) {
    const all = Object.values(places) as number[];
    assert.deepEqual(
      all.toSorted((a, b) => a - b),
      all.map((_, i) => i),
    );
  }
  assert.equal(TIMER_COUNT, Object.keys(Timer).length);
  for (const [name, state] of Object.entries(State))
    assert.equal(STATE_NAMES[state], name.replaceAll('_', '-'));
});

test('RingBuffers are as large as the next power of two, from 16 KiB on', () => {
  for (const [bytes, capacity] of [
    [1, 16_384],
    [16_384, 16_384],
    [16_385, 32_768],
    [32_769, 65_536],
    [65_537, 131_072],
  ]) {
    const send = new SendBuffer({ firstOffset: 1, limitBytes: 1 << 20 });
    assert.equal(send.write(new Uint8Array(bytes), 0, 0), 0);
    assert.equal(send.capacityBytes, 0);
    assert.equal(send.write(new Uint8Array(bytes), 0, bytes), bytes);
    const receive = new ReceiveBuffer({ firstOffset: 1, limitBytes: 1 << 20 });
    assert.equal(receive.insert(1, new Uint8Array(bytes), 0, bytes), bytes);
    assert.deepEqual([send.capacityBytes, receive.capacityBytes], [capacity, capacity]);
  }
});

test('SendBuffer: the sum of bytes that lie over the end of the ring is that of the bytes', () => {
  const buffer = new SendBuffer({ firstOffset: 1, limitBytes: 16_384 });
  const bytes = stream(1, 16_384);
  buffer.write(bytes, 0, 16_384);
  buffer.release(16_001);
  const more = stream(16_385, 10_000);
  buffer.write(more, 0, 10_000);
  const all = Buffer.concat([bytes, more]);
  for (const [from, length] of [
    [16_001, 383],
    [16_001, 384],
    [16_001, 385],
    [16_002, 2000],
    [16_300, 5001],
    [17_000, 100],
  ]) {
    // RFC 1071 §1: 16-bit words, the last octet padded with zero, added with the carries brought round.
    let sum = 0;
    for (let i = 0; i < length; i++) sum += all[from - 1 + i] << (i % 2 === 0 ? 8 : 0);
    const folded = (value: number): number =>
      value > 0xffff ? folded((value & 0xffff) + (value >>> 16)) : value;
    assert.equal(folded(buffer.sum(from, length)), folded(sum), `${from} ${length}`);
  }
});

test('SendBuffer: the limit grows as far as it may and never shrinks; what was released stays so', () => {
  const buffer = new SendBuffer({ firstOffset: 1, limitBytes: 5000, initialBytes: 1000 });
  for (const [bytes, limit] of [
    [500, 1000],
    [2000, 2000],
    [1000, 2000],
    [9000, 5000],
  ]) {
    buffer.expand(bytes);
    assert.equal(buffer.limit, limit);
  }
  buffer.write(new Uint8Array(3000), 0, 3000);
  for (const [offset, start] of [
    [1001, 1001],
    [501, 1001],
    [9001, 3001],
  ]) {
    buffer.release(offset);
    assert.equal(buffer.start, start);
  }
});

test('ReceiveBuffer: nothing, where the next byte would be, fills no hole', () => {
  const buffer = new ReceiveBuffer({ firstOffset: 1, limitBytes: 1000 });
  buffer.insert(11, new Uint8Array(10), 0, 10);
  assert.equal(buffer.insert(1, new Uint8Array(10), 0, 0), 0);
  assert.deepEqual([buffer.next, buffer.beyond.bytes], [1, 10]);
});

test('SentQueue: what was there before the first entries and behind the last is not counted', () => {
  const used = (): SentQueue => {
    const queue = new SentQueue();
    for (let i = 0; i < 5; i++) queue.append(1 + i * 100, 100, i, 0);
    for (let i = 0; i < 5; i++) queue.markSacked(i);
    queue.clear();
    queue.append(1, 10, 0, 0);
    return queue;
  };
  for (const act of ['markAllLost', 'unmarkLost', 'forgetSacked'] as const) {
    const queue = used();
    queue[act]();
    assert.deepEqual([queue.lostBytes, queue.sackedBytes], [act === 'markAllLost' ? 10 : 0, 0], act);
  }
  const unmarked = new SentQueue();
  for (let i = 0; i < 5; i++) unmarked.append(1 + i * 100, 100, i, 0);
  unmarked.clear();
  unmarked.append(1, 10, 0, 0);
  unmarked.markAllLost();
  assert.equal(unmarked.lostBytes, 10);
  const lost = new SentQueue();
  for (let i = 0; i < 3; i++) lost.append(1 + i * 100, 100, i, 0);
  lost.markAllLost();
  lost.clear();
  lost.append(1, 10, 0, 0);
  lost.unmarkLost();
  assert.deepEqual([lost.lostBytes, lost.firstLost()], [0, -1]);
});

test('RangeSet: what was cleared is not there', () => {
  const set = new RangeSet();
  for (let i = 0; i < 4; i++) set.add(i * 20, i * 20 + 10);
  set.clear();
  assert.deepEqual([set.bytes, set.contains(0, 10), set.contains(20, 30)], [0, false, false]);
  set.add(100, 101);
  set.remove(20, 30);
  set.remove(101, 200);
  assert.deepEqual([set.bytes, set.count, set.contains(100, 101)], [1, 1, true]);
});
