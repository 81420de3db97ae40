// The core allocates next to nothing for a segment: 64 bytes at most, both ends and the memory link together.
//
// A process of its own, with a semi-space so large that nothing is collected between the two readings.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { test } from 'node:test';

const limitBytes = 64;
const segments = 150_000;

interface Measured {
  bytesPerSegment: number | null;
  payloadBytes: number;
}

function measure(multipath: boolean): Measured {
  const bench = new URL('../../bench/core.js', import.meta.url).href;
  const options = JSON.stringify({ multipath, segmentBytes: 1448, segments });
  const script = `import { measureCore } from '${bench}';
    console.log(JSON.stringify(await measureCore(${options})));`;
  const flags = ['--expose-gc', '--min-semi-space-size=256', '--max-semi-space-size=256'];
  const args = [...flags, '--input-type=module', '-e', script];
  return JSON.parse(execFileSync(process.execPath, args, { encoding: 'utf8', timeout: 120_000 })) as Measured;
}

for (const multipath of [false, true]) {
  test(`${multipath ? 'MPTCP' : 'TCP'}: at most ${limitBytes} bytes allocated per 1,448-byte segment`, () => {
    const { bytesPerSegment, payloadBytes } = measure(multipath);
    assert.ok(Math.abs(payloadBytes - 1448) < 40, `segments of ${payloadBytes} bytes were measured`);
    assert.ok(bytesPerSegment !== null, 'every measurement had a collection in it');
    assert.ok(bytesPerSegment <= limitBytes, `${bytesPerSegment} bytes per segment`);
  });
}
