/**
 * The MPTCP options as a table: which lengths are legal on which kind of segment, and which options may
 * share a segment. The decoder drops what does not stand here, the encoder refuses to write it, tests and
 * packet views read it.
 *
 * Read first: RFC 8684 §3 (every figure), §7.2 and Appendix A.
 */
import { Flag, Mp } from './segment.ts';

/** What sort of segment an option stands on. One bit each. */
export const SegmentKind = { SYN: 1, SYN_ACK: 2, ACK: 4, DATA: 8, RST: 16 } as const;

export interface OptionRow {
  readonly subtype: number;
  readonly name: string;
  /** Its bit in `Segment.mp`. */
  readonly bit: number;
  /** Of RFC 8684. */
  readonly section: string;
  /** Legal lengths in bytes, padding not counted. */
  readonly lengths: {
    readonly SYN: readonly number[];
    readonly SYN_ACK: readonly number[];
    readonly ACK: readonly number[];
    readonly DATA: readonly number[];
    readonly RST: readonly number[];
  };
  /** Options it may share a segment with, as bits of `Mp`. The relation is symmetric. */
  readonly with: number;
}

export const MPTCP_KIND = 30;
export const MAX_OPTIONS_BYTES = 40;

/** The kind of a segment; a reset is a reset whatever else it claims to be. */
export function segmentKind(flags: number, payloadLength: number): number {
  if ((flags & Flag.RST) !== 0) return SegmentKind.RST;
  if ((flags & Flag.SYN) !== 0) return (flags & Flag.ACK) !== 0 ? SegmentKind.SYN_ACK : SegmentKind.SYN;
  return payloadLength > 0 ? SegmentKind.DATA : SegmentKind.ACK;
}

/** Whether an option of this subtype and length may stand on that kind of segment. */
export function lengthIsLegal(subtype: number, lengthBytes: number, kind: number): boolean {
  return lengthBytes <= MAX_OPTIONS_BYTES && (LEGAL_KINDS[(subtype << 6) | lengthBytes] & kind) !== 0;
}

/** Whether the options of `mp` (bits of `Mp`) may share a segment. */
export function mayCoexist(mp: number): boolean {
  return COEXIST[mp] === 1;
}

const NOWHERE = { SYN: [], SYN_ACK: [], ACK: [], DATA: [], RST: [] } as const;

// With a data ACK of 4 or 8 bytes, a mapping with a DSN of 4 or 8 bytes and a checksum or none, or both.
const DSS_LENGTHS = [8, 12, 14, 16, 18, 20, 22, 24, 26, 28];
// With HMAC: IPv4, and port; IPv6, and port. Echoes, which carry no HMAC, in the same order.
const ADD_ADDR_LENGTHS = [16, 18, 28, 30, 8, 10, 20, 22];
const REMOVE_ADDR_LENGTHS = Array.from({ length: MAX_OPTIONS_BYTES - 3 }, (_, i) => 4 + i);

export const OPTION_TABLE: readonly OptionRow[] = [
  {
    subtype: 0x0,
    name: 'MP_CAPABLE',
    bit: Mp.CAPABLE,
    section: '3.1',
    lengths: { ...NOWHERE, SYN: [4], SYN_ACK: [12], ACK: [20], DATA: [22, 24] },
    with: Mp.REMOVE_ADDR,
  },
  {
    subtype: 0x1,
    name: 'MP_JOIN',
    bit: Mp.JOIN,
    section: '3.2',
    lengths: { ...NOWHERE, SYN: [12], SYN_ACK: [16], ACK: [24] },
    with: Mp.REMOVE_ADDR | Mp.PRIO,
  },
  {
    subtype: 0x2,
    name: 'DSS',
    bit: Mp.DSS,
    section: '3.3',
    lengths: { ...NOWHERE, ACK: DSS_LENGTHS, DATA: DSS_LENGTHS },
    with: Mp.ADD_ADDR | Mp.REMOVE_ADDR | Mp.PRIO | Mp.FAIL | Mp.FASTCLOSE,
  },
  {
    subtype: 0x3,
    name: 'ADD_ADDR',
    bit: Mp.ADD_ADDR,
    section: '3.4.1',
    lengths: { ...NOWHERE, ACK: ADD_ADDR_LENGTHS, DATA: ADD_ADDR_LENGTHS },
    with: Mp.DSS | Mp.REMOVE_ADDR | Mp.PRIO,
  },
  {
    subtype: 0x4,
    name: 'REMOVE_ADDR',
    bit: Mp.REMOVE_ADDR,
    section: '3.4.2',
    lengths: { ...NOWHERE, ACK: REMOVE_ADDR_LENGTHS, DATA: REMOVE_ADDR_LENGTHS },
    with: Mp.CAPABLE | Mp.JOIN | Mp.DSS | Mp.ADD_ADDR | Mp.PRIO,
  },
  {
    subtype: 0x5,
    name: 'MP_PRIO',
    bit: Mp.PRIO,
    section: '3.3.8',
    lengths: { ...NOWHERE, ACK: [3], DATA: [3] },
    with: Mp.JOIN | Mp.DSS | Mp.ADD_ADDR | Mp.REMOVE_ADDR,
  },
  {
    subtype: 0x6,
    name: 'MP_FAIL',
    bit: Mp.FAIL,
    section: '3.7',
    lengths: { ...NOWHERE, ACK: [12], DATA: [12], RST: [12] },
    with: Mp.DSS | Mp.TCPRST,
  },
  {
    subtype: 0x7,
    name: 'MP_FASTCLOSE',
    bit: Mp.FASTCLOSE,
    section: '3.5',
    lengths: { ...NOWHERE, ACK: [12], DATA: [12], RST: [12] },
    with: Mp.DSS | Mp.TCPRST,
  },
  {
    subtype: 0x8,
    name: 'MP_TCPRST',
    bit: Mp.TCPRST,
    section: '3.6',
    lengths: { ...NOWHERE, RST: [4] },
    with: Mp.FAIL | Mp.FASTCLOSE,
  },
];

/** Kinds allowed, by subtype (4 bits) and length (6 bits). */
const LEGAL_KINDS: Uint8Array = indexLengths();

/** 1 for every set of options the table lets share a segment. */
const COEXIST: Uint8Array = indexCoexistence();

function indexLengths(): Uint8Array {
  const index = new Uint8Array(16 << 6);
  for (const row of OPTION_TABLE) {
    for (const [kind, lengths] of Object.entries(row.lengths)) {
      for (const length of lengths) index[(row.subtype << 6) | length] |= SegmentKind[kind as KindName];
    }
  }
  return index;
}

function indexCoexistence(): Uint8Array {
  const index = new Uint8Array(1 << OPTION_TABLE.length);
  for (let mp = 0; mp < index.length; mp++) {
    const ok = OPTION_TABLE.every(row => (mp & row.bit) === 0 || (mp & ~(row.with | row.bit)) === 0);
    index[mp] = ok ? 1 : 0;
  }
  return index;
}

type KindName = keyof typeof SegmentKind;
