/**
 * The codecs allocate nothing, measured in a process whose young generation is large enough that nothing
 * is collected while it is measured.
 */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { describe, it } from 'node:test';
import type { Measurement } from '../../bench/measure.ts';

const SCRIPT = `
  import { benchWire } from ${JSON.stringify(new URL('../../bench/wire.js', import.meta.url).href)};
  import { measure } from ${JSON.stringify(new URL('../../bench/measure.js', import.meta.url).href)};
  let kept;
  const one = measure('one small object', i => { kept = { i }; return kept.i; });
  console.log(JSON.stringify({ one, codecs: benchWire() }));
`;

describe('allocation', () => {
  it('is none in every codec', () => {
    const flags = [
      '--expose-gc',
      '--min-semi-space-size=64',
      '--max-semi-space-size=64',
      '--input-type=module',
    ];
    const { stdout, stderr } = spawnSync(process.execPath, [...flags, '-e', SCRIPT], { encoding: 'utf8' });
    assert.notEqual(stdout, '', stderr);
    const { one, codecs } = JSON.parse(stdout) as { one: Measurement; codecs: Measurement[] };
    assert.ok(one.bytesPerOp >= 16, `one small object a call was measured as ${one.bytesPerOp} bytes`);
    assert.ok(codecs.length >= 10);
    for (const { name, bytesPerOp } of codecs) {
      assert.ok(bytesPerOp < 8, `${name}: ${bytesPerOp} bytes a call`);
    }
  });
});
