import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fillContent, matchingContent, streamKey } from '../../src/sim/content.ts';

const KEY = streamKey(7, 0, 0);
const BLOCK = 65_536;

function content(key: number, from: number, length: number): Uint8Array {
  const bytes = new Uint8Array(length);
  fillContent(key, from, bytes, 0, length);
  return bytes;
}

test('a stream is the same however it is cut', () => {
  const whole = content(KEY, 0, 200_000);
  const pieces = new Uint8Array(200_000);
  for (let at = 0; at < pieces.length; ) {
    const length = Math.min(1 + ((at * 7919) % 9001), pieces.length - at);
    fillContent(KEY, at, pieces, at, length);
    at += length;
  }
  assert.deepEqual(pieces, whole);
  assert.equal(matchingContent(KEY, 0, whole, 0, whole.length), whole.length);
});

test('bytes from another place, stream or direction do not match', () => {
  for (const wrongOffset of [1, 100, BLOCK, 2 * BLOCK, BLOCK - 1]) {
    assert.ok(matchingContent(KEY, wrongOffset, content(KEY, 0, 1000), 0, 1000) < 1000, `${wrongOffset}`);
  }
  assert.ok(matchingContent(streamKey(7, 0, 1), 0, content(KEY, 0, 1000), 0, 1000) < 1000);
  assert.ok(matchingContent(streamKey(7, 1, 0), 0, content(KEY, 0, 1000), 0, 1000) < 1000);
  assert.ok(matchingContent(streamKey(8, 0, 0), 0, content(KEY, 0, 1000), 0, 1000) < 1000);
});

test('the first wrong byte is named', () => {
  for (const wrong of [0, 1, 999, BLOCK - 1, BLOCK, BLOCK + 5, 99_999]) {
    const bytes = content(KEY, 0, 100_000);
    bytes[wrong] ^= 0x10;
    assert.equal(matchingContent(KEY, 0, bytes, 0, bytes.length), wrong);
  }
});
