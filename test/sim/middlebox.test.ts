// The middlebox matrix, ours with ours: every row on one path and two, in each direction, with checksums and
// without. No row hangs, none delivers a byte wrong or twice that a checksum could have caught, both ends
// agree on the end. Known gaps are skipped with their reason (middlebox-gaps.ts). docs/MIDDLEBOXES.md is
// what came of it.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { MIDDLEBOX_ROWS } from '../../src/netmodel/index.ts';
import { type Cell, cells, nameOf } from './middlebox-cell.ts';
import { gapOf } from './middlebox-gaps.ts';
import { type Result, render, resultOf, withoutTimes } from './middlebox-table.ts';

const results: Result[] = [];
const all: Cell[] = cells();

for (const row of MIDDLEBOX_ROWS) {
  describe(`${row.id} ${row.name}`, () => {
    if (row.absent !== undefined) test('not in the simulator', { skip: row.absent }, () => {});
    for (const variant of row.variants) {
      const mine = all.filter(cell => cell.row === row && cell.variant === variant);
      const gaps = new Set(mine.map(gapOf).filter(gap => gap !== undefined));
      for (const reason of gaps) {
        const count = mine.filter(cell => gapOf(cell) === reason).length;
        test(`${variant.name}: ${count} of ${mine.length} cells`, { skip: reason }, () => {});
      }
      for (const cell of mine) if (gapOf(cell) !== undefined) results.push(resultOf(cell));
      const open = mine.filter(cell => gapOf(cell) === undefined);
      if (open.length === 0) continue;
      test(variant.name, () => {
        const wrong: string[] = [];
        for (const cell of open) {
          const result = resultOf(cell);
          results.push(result);
          for (const text of result.wrong) wrong.push(`${nameOf(cell)}: ${text}`);
        }
        assert.deepEqual(wrong, []);
      });
    }
  });
}

test('docs/MIDDLEBOXES.md is what the matrix came to', () => {
  const file = fileURLToPath(new URL('../../../docs/MIDDLEBOXES.md', import.meta.url));
  const written = withoutTimes(readFileSync(file, 'utf8'));
  const made = withoutTimes(render(results));
  assert.equal(written, made, 'run `node dist/test/sim/middlebox-table.js --write` after a build');
});
