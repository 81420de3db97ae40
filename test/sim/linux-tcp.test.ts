// One flow of ours carries what Linux's TCP carries over the same link when the same packets are lost. A few of the
// cells of `npm run bench -- linux`, which compares all of them; Linux's figures are kept in bench/linux/kernel.json.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { cellName } from '../../bench/linux/cells.ts';
import { compareCell, isWithin } from '../../bench/linux/comparison.ts';
import { type CellFigures, kernelFigures } from '../../bench/linux/kernel-figures.ts';

const SEEDS = [1, 2, 3];
/** Wider than for the ten seeds of the benchmark. */
const LIKE: readonly [number, number] = [0.92, 1.08];
const CELLS = [
  // What limits: the link; its short queue; the round trip and the losses, in few segments and in many.
  { loss: 0, rttMs: 50, queue: 1 },
  { loss: 0.001, rttMs: 10, queue: 0.5 },
  { loss: 0.001, rttMs: 50, queue: 0.5 },
  { loss: 0.001, rttMs: 200, queue: 1 },
  { loss: 0.01, rttMs: 10, queue: 1 },
  { loss: 0.01, rttMs: 50, queue: 4 },
  { loss: 0.03, rttMs: 50, queue: 1 },
];

function figuresOf(cell: (typeof CELLS)[number]): CellFigures {
  const found = kernelFigures('cubic').cells.find(one => cellName(one) === cellName(cell));
  assert.ok(found, `Linux was not measured with ${cellName(cell)}`);
  return found;
}

for (const cell of CELLS) {
  test(`like Linux: ${cellName(cell)}`, () => {
    const { bulk, transfer } = compareCell(figuresOf(cell), { multipath: false, config: {} }, SEEDS);
    assert.ok(isWithin(bulk.ratio, LIKE), `${bulk.own} Mbit/s, Linux ${bulk.linux}: ${bulk.ratio}`);
    // Linux's transfers in real time vary by a millisecond or two.
    assert.ok(
      isWithin(transfer.ratio, [0.88, 1.12]),
      `64 KiB in ${transfer.own} ms, Linux ${transfer.linux}: ${transfer.ratio}`,
    );
  });
}

test('one subflow of Multipath TCP, but for its options, is as good', () => {
  const figures = figuresOf({ loss: 0.001, rttMs: 50, queue: 0.5 });
  const { bulk } = compareCell(figures, { multipath: true, config: {} }, SEEDS);
  assert.ok(isWithin(bulk.ratio, LIKE), `${bulk.own} Mbit/s, Linux ${bulk.linux}: ${bulk.ratio}`);
});

test('the comparison tells controllers apart', () => {
  const figures = figuresOf({ loss: 0.001, rttMs: 200, queue: 1 });
  const { bulk } = compareCell(figures, { multipath: false, config: { congestion: 'reno' } }, SEEDS);
  assert.ok(!isWithin(bulk.ratio, LIKE), `NewReno carries ${bulk.own} Mbit/s, Linux's CUBIC ${bulk.linux}`);
});
