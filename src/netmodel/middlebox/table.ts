// Decides which middleboxes are tried: one row a behaviour, with what RFC 8684 demands of both ends there,
// and the variants (position, direction, path) that a matrix runs. Data, and nothing else.
// RFC 8684 §3.1, §3.2, §3.3.6, §3.7, §6. Before: nothing. After: the matrix of the simulator and of the test
// bed.

import type { Direction, Match } from './box.ts';
import type { MiddleboxPlan } from './plan.ts';

/** One way in which the behaviour of a row can be met. */
export interface MiddleboxVariant {
  readonly name: string;
  readonly boxes: readonly MiddleboxPlan[];
  /** The path it stands on: that of the first subflow, that of the joined one, or a cell for each. */
  readonly on?: 'first' | 'joined' | 'each';
  /** Numbers of paths to run it with. */
  readonly paths?: readonly (1 | 2)[];
  /** DSS checksums: off and on unless one is named. */
  readonly checksum?: 'off' | 'on';
  /** The server speaks plain TCP. */
  readonly plainServer?: boolean;
  /** It changes payload: `bytes` keeps the length, `length` does not. */
  readonly alters?: 'bytes' | 'length';
  /** The applications fall silent for so long half-way. */
  readonly pauseMs?: number;
  /** Both ends send keep-alives after so long. */
  readonly keepAliveMs?: number;
}

export interface MiddleboxRow {
  readonly id: string;
  readonly name: string;
  /** What RFC 8684 demands, in a word, with the section. */
  readonly demands: string;
  readonly variants: readonly MiddleboxVariant[];
  /** Why a row has no variants here. */
  readonly absent?: string;
}

/** From when on something changes in the middle of a transfer. */
const MIDDLE_MS = 200;
const UP = { direction: 'forward' } as const;
const DOWN = { direction: 'backward' } as const;

const strip = (match: Match): MiddleboxPlan => ({ type: 'strip', match });
const drop = (match: Match): MiddleboxPlan => ({ type: 'drop', match: { subtypes: [], ...match } });

/** One variant a direction, and one for both. */
function ways(
  name: string,
  box: (match: Match) => MiddleboxPlan,
  rest: Omit<MiddleboxVariant, 'name' | 'boxes'> = {},
): MiddleboxVariant[] {
  return [
    { name: `${name}, client to server`, boxes: [box(UP)], ...rest },
    { name: `${name}, server to client`, boxes: [box(DOWN)], ...rest },
    { name: `${name}, both ways`, boxes: [box({})], ...rest },
  ];
}

/** One variant a direction of what changes payload. */
function altering(
  name: string,
  box: (direction: Direction) => MiddleboxPlan,
  rest: Omit<MiddleboxVariant, 'name' | 'boxes'>,
): MiddleboxVariant[] {
  return [
    { name: `${name}, client to server`, boxes: [box('forward')], ...rest },
    { name: `${name}, server to client`, boxes: [box('backward')], ...rest },
  ];
}

const change =
  (...atBytes: number[]) =>
  (direction: Direction): MiddleboxPlan => ({ type: 'change-bytes', direction, atBytes });

const insert =
  (atByte: number) =>
  (direction: Direction): MiddleboxPlan => ({ type: 'insert-bytes', direction, atByte, bytes: 10 });

const handshakeRows: readonly MiddleboxRow[] = [
  {
    id: '1',
    name: 'option stripped from the SYN',
    demands: 'TCP (§3.1)',
    variants: [{ name: 'SYN', boxes: [strip({ ...UP, kind: 'syn' })] }],
  },
  {
    id: '2',
    name: 'option stripped from the SYN/ACK',
    demands: 'TCP (§3.1)',
    variants: [{ name: 'SYN/ACK', boxes: [strip({ ...DOWN, kind: 'syn-ack' })] }],
  },
  {
    id: '3',
    name: 'options stripped from the third ACK, or all after the SYN from the client',
    demands: 'TCP (§3.1, §3.7)',
    variants: [
      { name: 'third ACK', boxes: [strip({ ...UP, kind: 'not-syn', first: 1 })] },
      { name: 'client to server after the SYN', boxes: [strip({ ...UP, kind: 'not-syn' })] },
      { name: 'both ways after the SYN', boxes: [strip({ kind: 'not-syn' })] },
      { name: 'everything', boxes: [strip({})] },
    ],
  },
  {
    id: '4',
    name: 'options stripped from the server’s segments, or from data only',
    demands: 'TCP, infinite mapping (§3.7)',
    variants: [
      { name: 'server to client after the SYN', boxes: [strip({ ...DOWN, kind: 'not-syn' })] },
      ...ways('data', match => strip({ ...match, kind: 'data' })),
    ],
  },
  {
    id: '5',
    name: 'SYN with the option dropped',
    demands: 'TCP by a plain SYN (§3.1, §6)',
    variants: [{ name: 'SYN', boxes: [drop({ ...UP, kind: 'syn' })] }],
  },
  {
    id: '6',
    name: 'SYN/ACK with the option dropped',
    demands: 'TCP (§3.1, §6)',
    variants: [{ name: 'SYN/ACK', boxes: [drop({ ...DOWN, kind: 'syn-ack' })] }],
  },
  {
    id: '7',
    name: 'segments after the SYN dropped when they carry the option',
    demands: 'left open (§6)',
    variants: [
      ...ways('from the start', match => drop({ ...match, kind: 'not-syn' })),
      ...ways('in the middle', match => drop({ ...match, kind: 'not-syn', fromMs: MIDDLE_MS }), {
        on: 'each',
      }),
    ],
  },
];

const middleRows: readonly MiddleboxRow[] = [
  {
    id: '8',
    name: 'options vanish in the middle, one path',
    demands: 'RST, reason 6 (§3.7)',
    variants: ways('stripped', match => strip({ ...match, fromMs: MIDDLE_MS }), { paths: [1] }),
  },
  {
    id: '9',
    name: 'options vanish in the middle, two paths',
    demands: 'RST of that subflow, its data elsewhere (§3.7)',
    variants: ways('stripped', match => strip({ ...match, fromMs: MIDDLE_MS }), { paths: [2], on: 'each' }),
  },
  {
    id: '10',
    name: 'a third of the segments lose their options',
    demands: 'broken: RST (§3.7)',
    variants: ways('stripped', match => strip({ ...match, kind: 'not-syn', probability: 1 / 3 }), {
      on: 'each',
    }),
  },
  {
    id: '11',
    name: 'payload changed, same length, checksums off',
    demands: 'undetectable (§3.7)',
    variants: altering('one byte', change(50_000), { checksum: 'off', alters: 'bytes', on: 'each' }),
  },
  {
    id: '12',
    name: 'payload changed, checksums on, two paths',
    demands: 'RST with MP_FAIL, data elsewhere (§3.7)',
    variants: altering('one byte', change(50_000), {
      checksum: 'on',
      alters: 'bytes',
      paths: [2],
      on: 'each',
    }),
  },
  {
    id: '13',
    name: 'payload changed in the middle, checksums on, one path',
    demands: 'MP_FAIL, infinite mapping, go on (§3.7)',
    variants: altering('several bytes', change(100_000, 100_001, 200_000), {
      checksum: 'on',
      alters: 'bytes',
      paths: [1],
    }),
  },
  {
    id: '14',
    name: 'payload changed in the first mapping, checksums on, one path',
    demands: 'MP_FAIL, infinite mapping, go on (§3.7)',
    variants: [
      ...altering('first byte', change(0), { checksum: 'on', alters: 'bytes', paths: [1] }),
      ...altering('third segment', change(3_500), { checksum: 'on', alters: 'bytes', paths: [1] }),
    ],
  },
  {
    id: '15',
    name: 'bytes inserted by an application-level gateway',
    demands: 'found by checksum; fallback, or that subflow ends (§3.7)',
    variants: [
      ...altering('in the first segment', insert(20), { alters: 'length', on: 'each' }),
      ...altering('in the middle', insert(100_000), { alters: 'length', on: 'each' }),
    ],
  },
];

const addressRows: readonly MiddleboxRow[] = [
  {
    id: '16',
    name: 'address and port translated',
    demands: 'joins work, by address ID (§3.2, §6)',
    variants: [{ name: 'client side', boxes: [{ type: 'translate', address: '10.9.9.9' }], on: 'each' }],
  },
  {
    id: '17',
    name: 'initial sequence numbers randomised, SACK too',
    demands: 'nothing lost: numbers are relative (§6)',
    variants: [
      { name: 'both ways', boxes: [{ type: 'randomize-isn', rewritesSack: true }], on: 'each' },
      {
        name: 'with loss',
        boxes: [
          { type: 'drop', match: { kind: 'data', probability: 0.01 } },
          { type: 'randomize-isn', rewritesSack: true },
        ],
        on: 'each',
      },
    ],
  },
  {
    id: '18',
    name: 'initial sequence numbers randomised, SACK not, 1 % loss',
    demands: 'nothing lost (§6)',
    variants: [
      {
        name: 'both ways',
        boxes: [
          { type: 'drop', match: { kind: 'data', probability: 0.01 } },
          { type: 'randomize-isn', rewritesSack: false },
        ],
        on: 'each',
      },
    ],
  },
];

const segmentRows: readonly MiddleboxRow[] = [
  {
    id: '19',
    name: 'segments joined, options of the first kept',
    demands: 'nothing lost (§3.3.1, §6)',
    variants: [
      { name: 'two by two', boxes: [{ type: 'coalesce', mostBytes: 2_900 }], on: 'each' },
      {
        name: 'two by two, server to client',
        boxes: [{ type: 'coalesce', direction: 'backward', mostBytes: 2_900 }],
        on: 'each',
      },
      { name: 'up to 16 KB', boxes: [{ type: 'coalesce', mostBytes: 16_384, waitMs: 10 }], on: 'each' },
    ],
  },
  {
    id: '20',
    name: 'segments split, options on all pieces or the first',
    demands: 'nothing lost (§3.3.1, §6)',
    variants: [
      { name: 'copied', boxes: [{ type: 'split', mostBytes: 700, keeps: 'all' }], on: 'each' },
      { name: 'first', boxes: [{ type: 'split', mostBytes: 700, keeps: 'first' }], on: 'each' },
    ],
  },
  {
    id: '21',
    name: 'segments split, options on the last piece',
    demands: 'may fall back (§3.3.1, §3.7)',
    variants: [{ name: 'last', boxes: [{ type: 'split', mostBytes: 700, keeps: 'last' }], on: 'each' }],
  },
  {
    id: '22',
    name: 'window shrunk to 16 units',
    demands: 'each subflow’s window is kept to (§6)',
    variants: [{ name: 'both ways', boxes: [{ type: 'shrink-window', most: 16 }], on: 'each' }],
  },
  {
    id: '23',
    name: 'TCP timestamps stripped',
    demands: 'nothing lost',
    variants: [{ name: 'all', boxes: [{ type: 'strip', match: {}, kind: 8 }], on: 'each' }],
  },
];

const signalRows: readonly MiddleboxRow[] = [
  {
    id: '24',
    name: 'the client’s option mirrored in the SYN/ACK',
    demands: 'wrong length: TCP (§3.1)',
    variants: [
      { name: 'plain server', boxes: [{ type: 'mirror', asAnswer: false }], plainServer: true },
      { name: 'MPTCP server', boxes: [{ type: 'mirror', asAnswer: false }] },
    ],
  },
  {
    id: '25',
    name: 'the client’s option mirrored as a likely answer',
    demands: 'no DATA_ACK: TCP (§3.7)',
    variants: [
      { name: 'plain server', boxes: [{ type: 'mirror', asAnswer: true }], plainServer: true },
      { name: 'MPTCP server', boxes: [{ type: 'mirror', asAnswer: true }] },
    ],
  },
  {
    id: '26',
    name: 'ADD_ADDR stripped',
    demands: 'the address is not used (§3.4.1)',
    variants: [{ name: 'all', boxes: [{ type: 'strip', match: {}, subtypes: [3] }] }],
  },
  {
    id: '27',
    name: 'options of the joined path stripped',
    demands: 'RST of that subflow (§3.2, §3.7)',
    variants: [
      { name: 'SYN', boxes: [strip({ ...UP, kind: 'syn' })], on: 'joined', paths: [2] },
      { name: 'SYN/ACK', boxes: [strip({ ...DOWN, kind: 'syn-ack' })], on: 'joined', paths: [2] },
      { name: 'third ACK', boxes: [strip({ subtypes: [1], kind: 'not-syn' })], on: 'joined', paths: [2] },
      ...ways('DSS', match => ({ type: 'strip', match: { ...match, kind: 'not-syn' }, subtypes: [2] }), {
        on: 'joined',
        paths: [2],
      }),
    ],
  },
  {
    id: '28',
    name: 'HMAC of a join damaged',
    demands: 'RST of that subflow (§3.2)',
    variants: [
      {
        name: 'SYN/ACK',
        boxes: [{ type: 'damage-hmac', match: { ...DOWN, kind: 'syn-ack' } }],
        on: 'joined',
        paths: [2],
      },
      {
        name: 'third ACK',
        boxes: [{ type: 'damage-hmac', match: { ...UP, kind: 'not-syn' } }],
        on: 'joined',
        paths: [2],
      },
    ],
  },
];

const furtherRows: readonly MiddleboxRow[] = [
  {
    id: '29a',
    name: 'a proxy acknowledges ahead of the receiver',
    demands: 'TCP, or that subflow ends (§3.7, §6)',
    variants: altering('data', direction => ({ type: 'acknowledge', direction }), { on: 'each' }),
  },
  {
    id: '29b',
    name: 'a normaliser lets no data past a hole, 1 % loss',
    demands: 'nothing lost (§6)',
    variants: [
      {
        name: 'both ways',
        boxes: [{ type: 'drop', match: { kind: 'data', probability: 0.01 } }, { type: 'block-holes' }],
        on: 'each',
      },
    ],
  },
  {
    id: '29c',
    name: 'a normaliser sends old data again',
    demands: 'nothing twice (§3.3.6)',
    variants: [{ name: 'each tenth segment', boxes: [{ type: 'replay', every: 10 }], on: 'each' }],
  },
  {
    id: '29d',
    name: 'options turned into end markers',
    demands: 'as stripped (§3.7)',
    variants: [
      { name: 'after the SYN', boxes: [{ type: 'strip', match: { kind: 'not-syn' }, asEnd: true }] },
      ...ways(
        'in the middle',
        match => ({ type: 'strip', match: { ...match, fromMs: MIDDLE_MS }, asEnd: true }),
        {
          on: 'each',
        },
      ),
    ],
  },
  {
    id: '29e',
    name: 'MSS clamped on one path',
    demands: 'nothing lost',
    variants: [{ name: '1,000 bytes', boxes: [{ type: 'clamp-mss', mostBytes: 1_000 }], on: 'each' }],
  },
  {
    id: '29f',
    name: 'a translator forgets idle mappings',
    demands: 'the subflow is replaced (§3.9)',
    variants: [
      {
        name: 'after 1 s',
        boxes: [{ type: 'translate', address: '10.9.9.9', idleMs: 1_000 }],
        on: 'each',
        pauseMs: 1_500,
      },
      {
        name: 'after 1 s, kept alive',
        boxes: [{ type: 'translate', address: '10.9.9.9', idleMs: 1_000 }],
        on: 'each',
        pauseMs: 1_500,
        keepAliveMs: 400,
      },
    ],
  },
  {
    id: '29g',
    name: 'RST in answer to the option',
    demands: 'TCP by a plain SYN (§3.1, §6); else that subflow ends (§3.6)',
    variants: [
      { name: 'SYN', boxes: [{ type: 'reset', match: { ...UP, kind: 'syn', subtypes: [] } }] },
      {
        name: 'from the 200th segment on',
        boxes: [{ type: 'reset', match: { kind: 'not-syn', subtypes: [], from: 200 } }],
        on: 'each',
      },
    ],
  },
  {
    id: '29h',
    name: 'a rule for one port only',
    demands: 'as the rule (§3.1)',
    variants: [{ name: 'stripped on 443', boxes: [strip({ port: 443 })] }],
  },
  {
    id: '29i',
    name: 'a proxy answers SYNs itself',
    demands: 'TCP (§3.1)',
    variants: [{ name: 'SYN cookies', boxes: [{ type: 'syn-proxy' }], on: 'each' }],
  },
  {
    id: '29j',
    name: 'UDP blocked',
    demands: 'not a matter of the protocol',
    variants: [],
    absent:
      'The simulated network carries TCP only; where UDP is blocked TCP-in-UDP does not connect at all.',
  },
  {
    id: '29k',
    name: 'a carrier’s translator changes the port in the middle',
    demands: 'the subflow is replaced (§3.2)',
    variants: [
      {
        name: 'at 0.2 s',
        boxes: [{ type: 'translate', address: '10.9.9.9', forgetAtMs: MIDDLE_MS }],
        on: 'each',
      },
    ],
  },
  {
    id: '29l',
    name: 'SYNs with and without the option, doubled',
    demands: 'one connection, MPTCP or TCP (§3.1)',
    variants: [
      { name: 'with it first', boxes: [{ type: 'double-syn', plainFirst: false }], on: 'each' },
      { name: 'without it first', boxes: [{ type: 'double-syn', plainFirst: true }], on: 'each' },
    ],
  },
  {
    id: '29m',
    name: 'a SYN of version 0',
    demands: 'not spoken here: TCP (§3.1)',
    variants: [{ name: 'old client', boxes: [{ type: 'version-zero' }] }],
  },
];

/** All rows, in order. */
export const MIDDLEBOX_ROWS: readonly MiddleboxRow[] = [
  ...handshakeRows,
  ...middleRows,
  ...addressRows,
  ...segmentRows,
  ...signalRows,
  ...furtherRows,
];
