// The middlebox matrix on the wire: our stack with the kernel's, in both roles, each variant once over one path, is
// never worse than the kernel with itself was (wire-results.jsonl; wire-run.ts runs all cells). Worse is, in this
// order: an error, a hang, wrong bytes; then a fifth more time. A cell that looks worse is run again beside two
// kernels, for time and chance are compared at one moment on one machine.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MIDDLEBOX_ROWS } from '../../src/netmodel/index.ts';
import type { Cell } from '../sim/middlebox-cell.ts';
import { skip } from './netns.ts';
import {
  GRADES,
  type Grade,
  type WireOutcome,
  type WireRecord,
  WireRecords,
  wireCells,
  worse,
} from './wire-records.ts';
import { besideKernels, type Job, runCells } from './wire-run.ts';

const kept: WireRecords = WireRecords.kept();

test('worse is, in this order: an error, a hang, wrong bytes; then a fifth and 0.2 s more time', () => {
  const outcome = (grade: Grade, ms: number): WireOutcome => ({
    grade,
    ms,
    carried: '–',
    what: '',
    counters: {},
  });
  const ordered = GRADES.map(grade => outcome(grade, 1_000));
  for (const [i, one] of ordered.entries()) {
    for (const [k, other] of ordered.entries()) assert.equal(worse(one, other) !== '', i > k);
  }
  assert.equal(worse(outcome('intact', 1_400), outcome('intact', 1_000)), '');
  assert.notEqual(worse(outcome('intact', 1_401), outcome('intact', 1_000)), '');
  assert.equal(worse(outcome('intact', 5_000), outcome('error', 10)), '');
});

test('over the same links ours with ours comes to what it comes to in virtual time: the stream, whole', async () => {
  const found: string[] = [];
  const list = wireCells().filter(({ row, checksum }) => SAMPLE.has(row.id) && checksum);
  await runCells(
    list.map(cell => ({ pairing: 'ours-ours', cell })),
    ({ cell, grade, what }) => {
      if (grade !== 'intact') found.push(`${cell}: ${grade} ${what}`);
    },
  );
  assert.deepEqual(found, []);
});

const chosen: Job[] = MIDDLEBOX_ROWS.flatMap(row => row.variants)
  .map(variant => wireCells().find(cell => isChosen(cell) && cell.variant === variant))
  .filter(cell => cell !== undefined)
  .filter(cell => kept.of('linux-linux', cell) !== undefined)
  .flatMap(cell => (['ours-linux', 'linux-ours'] as const).map(pairing => ({ pairing, cell })));

test('as client and as server, never worse than the kernel with itself', { skip }, async () => {
  const doubtful: Job[] = [];
  let count = 0;
  await runCells(
    chosen,
    (record, cell) => {
      count++;
      const kernels = kept.of('linux-linux', cell) as WireRecord;
      if (worse(record, kernels) !== '') doubtful.push({ pairing: record.pairing, cell });
    },
    SHORT_PATIENCE_MS,
  );
  assert.equal(count, chosen.length);
  assert.deepEqual(await besideKernels(doubtful, () => {}), []);
});

/** Uploads for what happens on the way to the server, else downloads; checksums where the variant wants them. */
function isChosen({ paths, traffic, variant, checksum }: Cell): boolean {
  const upward =
    variant.name.endsWith('client to server') || variant.name === 'SYN' || variant.name === 'third ACK';
  return paths === 1 && traffic === (upward ? 'up' : 'down') && checksum === (variant.checksum === 'on');
}

/** Options lost, payload changed on two paths, addresses translated, segments joined. */
const SAMPLE: ReadonlySet<string> = new Set(['2', '8', '12', '16', '19']);
/** Most that two kernels complete they complete sooner; what lasts longer is run again, and given its time. */
const SHORT_PATIENCE_MS = 4_000;
