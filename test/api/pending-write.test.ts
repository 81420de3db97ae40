import assert from 'node:assert/strict';
import { test } from 'node:test';
import { PendingWrite } from '../../src/api/pending-write.ts';

/** Takes at most `room` bytes in all. */
function taker(room: number) {
  const taken: number[] = [];
  const take = (bytes: Uint8Array, offset: number, length: number) => {
    const count = Math.min(length, room);
    room -= count;
    for (let i = 0; i < count; i++) taken.push(bytes[offset + i]);
    return count;
  };
  return { taken, take };
}

test('chunks are offered in order, and the callback comes when all bytes are taken', () => {
  const write = new PendingWrite();
  let done = 0;
  write.start([Uint8Array.of(1, 2, 3), Uint8Array.of(), Uint8Array.of(4, 5)], () => done++);
  assert.deepEqual([write.active, write.bytesTotal, write.bytesLeft], [true, 5, 5]);
  const first = taker(2);
  assert.equal(write.offer(first.take), 2);
  assert.deepEqual(first.taken, [1, 2]);
  assert.deepEqual([done, write.bytesTotal, write.bytesLeft], [0, 5, 3]);
  const second = taker(100);
  assert.equal(write.offer(second.take), 3);
  assert.deepEqual(second.taken, [3, 4, 5]);
  assert.deepEqual([done, write.active, write.bytesTotal, write.bytesLeft], [1, false, 0, 0]);
});

test('a write of nothing is over at once', () => {
  const write = new PendingWrite();
  let done = false;
  write.start([Uint8Array.of()], () => (done = true));
  assert.equal(write.offer(taker(0).take), 0);
  assert.equal(done, true);
});

test('an error ends it once', () => {
  const write = new PendingWrite();
  const errors: unknown[] = [];
  write.start([Uint8Array.of(1)], error => errors.push(error));
  const error = new Error('gone');
  write.fail(error);
  write.fail(new Error('again'));
  assert.deepEqual(errors, [error]);
  assert.equal(write.active, false);
});

test('the callback may start the next write', () => {
  const write = new PendingWrite();
  const order: string[] = [];
  write.start([Uint8Array.of(1)], () => {
    order.push('first');
    write.start([Uint8Array.of(2)], () => order.push('second'));
  });
  assert.equal(write.offer(taker(9).take), 1);
  assert.equal(write.active, true);
  write.offer(taker(9).take);
  assert.deepEqual(order, ['first', 'second']);
});

test('what is shown stays; what was taken elsewhere is skipped, to the byte, and ends the write', () => {
  const write = new PendingWrite();
  let calls = 0;
  write.start([Uint8Array.of(1, 2, 3), new Uint8Array(0), Uint8Array.of(4, 5)], () => calls++);
  const seen: number[] = [];
  const take = (bytes: Uint8Array, offset: number, length: number): number => {
    const count = Math.min(length, 4 - seen.length);
    seen.push(...bytes.subarray(offset, offset + count));
    return count;
  };
  assert.equal(write.show(take), 4);
  assert.deepEqual([seen, write.bytesLeft, calls], [[1, 2, 3, 4], 5, 0]);
  assert.equal(write.skip(0), 0);
  assert.equal(write.skip(4), 4);
  assert.deepEqual([write.bytesLeft, calls], [1, 0]);
  seen.length = 0;
  assert.equal(write.show(take), 1);
  assert.deepEqual(seen, [5]);
  assert.equal(write.skip(1), 1);
  assert.deepEqual([write.active, calls], [false, 1]);
  assert.equal(write.skip(7), 0, 'without a write there is nothing to skip');
});
