// Which timer is due first, and which connection a packet belongs to: against models.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { DeadlineHeap, type HeapItem } from '../../src/host/deadline-heap.ts';
import { Demultiplexer } from '../../src/host/demux.ts';
import type { Tcb } from '../../src/tcp/index.ts';
import { Segment } from '../../src/wire/index.ts';

test('DeadlineHeap: the earliest of all, however they come and go', () => {
  const operation = fc.record({
    item: fc.nat(19),
    deadline: fc.oneof(fc.integer({ min: 0, max: 50 }), fc.constant(Infinity)),
  });
  fc.assert(
    fc.property(fc.array(operation, { maxLength: 150 }), operations => {
      const items: HeapItem[] = Array.from({ length: 20 }, () => ({ heapIndex: -1, deadlineMs: Infinity }));
      const heap = new DeadlineHeap<HeapItem>();
      const model = new Map<HeapItem, number>();
      for (const { item, deadline } of operations) {
        heap.set(items[item], deadline);
        if (deadline === Infinity) model.delete(items[item]);
        else model.set(items[item], deadline);
        assert.equal(heap.earliestMs, Math.min(Infinity, ...model.values()));
        const first = heap.first();
        assert.equal(first === undefined ? Infinity : model.get(first), heap.earliestMs);
      }
      const order: number[] = [];
      for (let first = heap.first(); first !== undefined; first = heap.first()) {
        order.push(first.deadlineMs);
        heap.remove(first);
        heap.remove(first);
      }
      assert.deepEqual(
        order,
        [...model.values()].sort((a, b) => a - b),
      );
    }),
    { numRuns: 300 },
  );
});

function block(interfaceId: number, localPort: number, remote: number, remotePort: number): Tcb {
  return {
    networkInterface: { id: interfaceId },
    localPort,
    remoteWords: Int32Array.of(0, 0, 0xffff, remote),
    remotePort,
    nextInBucket: null,
  } as unknown as Tcb;
}

function arriving(localPort: number, remote: number, remotePort: number): Segment {
  const segment = new Segment();
  segment.src2 = 0xffff;
  segment.src3 = remote;
  segment.srcPort = remotePort;
  segment.dstPort = localPort;
  return segment;
}

test('Demultiplexer: like a map of all four values', () => {
  const key = fc.tuple(fc.integer({ min: 1, max: 2 }), fc.nat(3), fc.nat(5), fc.nat(40));
  fc.assert(
    fc.property(fc.array(fc.tuple(fc.boolean(), key), { maxLength: 400 }), operations => {
      const demux = new Demultiplexer();
      const model = new Map<string, Tcb>();
      for (const [adds, [id, local, remote, port]] of operations) {
        const name = `${id} ${local} ${remote} ${port}`;
        const present = model.get(name);
        const words = Int32Array.of(0, 0, 0xffff, remote);
        assert.equal(demux.has(id, local, words, port), present !== undefined);
        assert.equal(demux.find(arriving(local, remote, port), id), present ?? null);
        if (adds && present === undefined) {
          const tcb = block(id, local, remote, port);
          demux.add(tcb);
          model.set(name, tcb);
        } else if (!adds && present !== undefined) {
          model.delete(name);
          const others = [...model.keys()].some(other => other.startsWith(`${id} ${local} `));
          assert.equal(demux.remove(present), !others);
          assert.equal(demux.remove(present), false);
          assert.equal(demux.isPortUsed(id, local), others);
          assert.equal(demux.find(arriving(local, remote, port), id), null);
        }
        assert.equal(demux.size, model.size);
      }
    }),
    { numRuns: 200 },
  );
});

test('Demultiplexer: ten thousand connections are found again', () => {
  const demux = new Demultiplexer();
  const all = Array.from({ length: 10_000 }, (_, i) => block(1, 80, i % 100, 1000 + Math.floor(i / 100)));
  for (const tcb of all) demux.add(tcb);
  for (const tcb of all) assert.equal(demux.find(arriving(80, tcb.remoteWords[3], tcb.remotePort), 1), tcb);
});
