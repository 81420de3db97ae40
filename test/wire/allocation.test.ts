/**
 * The codecs allocate nothing. One small object a call would be at least 16 bytes.
 */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { benchWire } from '../../bench/wire.ts';

describe('allocation', () => {
  it('is none in every codec', () => {
    for (const { name, bytesPerOp } of benchWire()) {
      assert.ok(bytesPerOp < 8, `${name}: ${bytesPerOp} bytes a call`);
    }
  });
});
