// The demo's picture fits its terminal, and says everything in plain lines too.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Progress } from '../../src/cli/demo/conductor.ts';
import { picture, plainLine } from '../../src/cli/demo/screen.ts';

const progress: Progress = {
  elapsedMs: 6100,
  deliveredBytes: 41_000_000,
  totalBytes: 100_000_000,
  rateMbps: 18.5,
  paths: [
    { title: 'Wi-Fi', up: false, state: 'suspect', rateMbps: 0, rttMs: 34, share: 0 },
    { title: 'LTE', up: true, state: 'active', rateMbps: 18.7, rttMs: 0, share: 1 },
  ],
};

for (const columns of [40, 80, 200]) {
  test(`every row fits ${columns} columns`, () => {
    for (const row of picture(progress, columns)) assert.ok(row.length < columns, `${row.length}: ${row}`);
  });
}

test('rate, RTT, share and state of both paths are in the picture and in the line', () => {
  for (const text of [picture(progress, 100).join('\n'), plainLine(progress)]) {
    for (const fact of [
      'Wi-Fi',
      'suspect (cut)',
      '34 ms',
      'LTE',
      'active',
      '18.7 Mbit/s',
      '100 %',
      '41 %',
      '6.1 s',
    ]) {
      assert.ok(text.includes(fact), `${fact} is missing in:\n${text}`);
    }
  }
});

test('a share of half fills half of the bar', () => {
  const [, , , row = ''] = picture({ ...progress, paths: [{ ...progress.paths[1]!, share: 0.5 }] }, 100);
  const full = row.match(/█/g)?.length ?? 0;
  const empty = row.match(/░/g)?.length ?? 0;
  assert.ok(full > 10 && Math.abs(full - empty) <= 1, `${full} full, ${empty} empty`);
});
