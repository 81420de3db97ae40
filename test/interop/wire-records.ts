// What the middlebox matrix on the wire came to, kept with the sources: wire-run.ts measures and writes it, the document
// shows it, and the tests hold our stack against it. Decides what is worse than what.

import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { type Cell, cells, nameOf } from '../sim/middlebox-cell.ts';
import type { HostKind } from './wire-bed.ts';
import type { Carried } from './wire-end.ts';

/** Client, then server. */
export type Pairing = `${HostKind}-${HostKind}`;

/** From best to worst. */
export const GRADES = ['intact', 'error', 'hang', 'wrong bytes'] as const;
export type Grade = (typeof GRADES)[number];

export interface WireOutcome {
  readonly grade: Grade;
  /** From the SYN until both ends had got where they wanted, or knew that they would not. */
  readonly ms: number;
  /** At the client in the end; at the server when the client had none. */
  readonly carried: Carried | '–';
  /** What was wrong, in a sentence; empty for an intact stream. */
  readonly what: string;
  /** What moved at the kernels. */
  readonly counters: Readonly<Record<string, Readonly<Record<string, number>>>>;
}

/** All cells of the matrix with traffic in one direction: that is where ends differ. */
export function wireCells(): Cell[] {
  return cells().filter(({ traffic }) => traffic !== 'both');
}

export interface WireRecord extends WireOutcome {
  readonly pairing: Pairing;
  /** As `nameOf` calls it. */
  readonly cell: string;
}

export const PAIRINGS: readonly Pairing[] = ['linux-linux', 'ours-linux', 'linux-ours'];

/** What was measured, by pairing and cell. */
export class WireRecords {
  readonly #records: Map<string, WireRecord> = new Map();

  /** Those kept with the sources. */
  static kept(): WireRecords {
    const records = new WireRecords();
    const lines = readFileSync(FILE, 'utf8').split('\n').slice(0, -1);
    for (const line of lines) records.add(JSON.parse(line) as WireRecord);
    return records;
  }

  add(record: WireRecord): void {
    this.#records.set(`${record.pairing} ${record.cell}`, record);
  }

  of(pairing: Pairing, cell: Cell): WireRecord | undefined {
    return this.#records.get(`${pairing} ${nameOf(cell)}`);
  }

  /** In the order of the matrix, one record a line. */
  write(): void {
    const lines = PAIRINGS.flatMap(pairing =>
      wireCells().flatMap(cell => {
        const record = this.of(pairing, cell);
        return record === undefined ? [] : [`${JSON.stringify(record)}\n`];
      }),
    );
    writeFileSync(FILE, lines.join(''));
  }
}

/** Why `one` is worse than `other`, empty when it is not: by what came of it, then by time. */
export function worse(one: WireOutcome, other: WireOutcome): string {
  const difference = GRADES.indexOf(one.grade) - GRADES.indexOf(other.grade);
  if (difference > 0) return `${one.grade} (${one.what}), not ${other.grade}`;
  const mostMs = other.ms * SLOWER_FACTOR + SLOWER_MS;
  return difference === 0 && one.ms > mostMs ? `${one.grade} after ${one.ms} ms, not ${other.ms}` : '';
}

/** The records lie beside the source of this file, three folders above what is built of it. */
const FILE: string = fileURLToPath(new URL('../../../test/interop/wire-results.jsonl', import.meta.url));
const SLOWER_FACTOR = 1.2;
const SLOWER_MS = 200;
