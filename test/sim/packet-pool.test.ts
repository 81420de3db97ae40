import assert from 'node:assert/strict';
import { test } from 'node:test';
import { PacketPool } from '../../src/sim/packet-pool.ts';

test('slots in use never share memory; a released one is used again', () => {
  const pool = new PacketPool();
  const lengths = [1, 128, 129, 2048, 2049, 10_240, 10_241, 65_536];
  const slots = lengths.map(length => pool.take(length));
  slots.forEach((slot, i) => {
    pool.bytes(slot).fill(i + 1, pool.offset[slot], pool.offset[slot] + lengths[i]);
    assert.equal(pool.length[slot], lengths[i]);
  });
  slots.forEach((slot, i) => {
    const packet = pool.bytes(slot).subarray(pool.offset[slot], pool.offset[slot] + lengths[i]);
    assert.ok(packet.every(byte => byte === i + 1));
    assert.equal(packet.length, lengths[i]);
  });
  pool.release(slots[3]);
  assert.equal(pool.take(1500), slots[3]);
  assert.equal(pool.inUse, lengths.length);
});

test('a steady flow needs as many slots as it has packets under way at once', () => {
  const pool = new PacketPool();
  const under: number[] = [];
  let highest = 0;
  for (let i = 0; i < 10_000; i++) {
    if (under.length === 600) pool.release(under.shift() as number);
    const slot = pool.take(1500);
    pool.tag[slot] = i;
    highest = Math.max(highest, slot);
    under.push(slot);
  }
  assert.equal(pool.inUse, 600);
  assert.ok(highest < 768, 'whole slabs of 256');
  assert.deepEqual(
    under.map(slot => pool.tag[slot]),
    Array.from({ length: 600 }, (_, i) => 9400 + i),
  );
});
