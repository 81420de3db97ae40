// Cells of the middlebox matrix that are known not to pass yet, in one place, each with its reason. They are
// skipped with that reason; nothing asserts what happens there now.

import type { Cell } from './middlebox-cell.ts';

interface Gap {
  readonly row: string;
  /** Beginning of the variant's name; all variants without it. */
  readonly variant?: string;
  readonly only?: (cell: Cell) => boolean;
  readonly reason: string;
}

const GAPS: readonly Gap[] = [
  {
    row: '29g',
    variant: 'from',
    only: ({ paths }) => paths === 1,
    reason:
      'every segment with an option is answered with a RST to both ends: nothing is left to fall back on, ' +
      'and both wait a minute for a subflow that lasts before they report ETIMEDOUT',
  },
  {
    row: '29f',
    only: ({ paths, traffic, variant }) =>
      paths === 1 && traffic === 'down' && variant.keepAliveMs === undefined,
    reason:
      'only what the client sends makes a new mapping, and this client has nothing to send; plain TCP hangs too, ' +
      'and keep-alives shorter than the translator’s patience prevent it',
  },
];

/** Why the cell is not expected to pass; undefined when it is. */
export function gapOf(cell: Cell): string | undefined {
  const gap = GAPS.find(
    ({ row, variant = '', only }) =>
      row === cell.row.id && cell.variant.name.startsWith(variant) && (only?.(cell) ?? true),
  );
  return gap?.reason;
}
