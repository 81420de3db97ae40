// Rows of the middlebox matrix in which a stream goes on as TCP in the middle: over links of many rates, delays and
// queues, and from other moments on, for what the two ends do depends on what is under way then. Each run is held
// against plain TCP over the same link.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MIDDLEBOX_ROWS } from '../../src/netmodel/index.ts';
import { type Cell, cells, judge, nameOf, runCell, varied } from './middlebox-cell.ts';

const SEEDS: readonly number[] = [1, 2, 3, 4];

for (const { id, name } of MIDDLEBOX_ROWS.filter(row => ['8', '10'].includes(row.id))) {
  test(`${id} ${name}, one path, over other links and from other times on`, () => {
    const wrong: string[] = [];
    const list: Cell[] = cells().filter(({ row, paths }) => row.id === id && paths === 1);
    for (const seed of SEEDS) {
      for (const cell of list.map(one => varied(one, seed))) {
        for (const text of judge(cell, runCell(cell))) wrong.push(`${nameOf(cell)}; seed ${seed}: ${text}`);
      }
    }
    assert.deepEqual(wrong, []);
  });
}
