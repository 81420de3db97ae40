// One cell of the middlebox matrix: a connection of our stack with itself through a box, in virtual time,
// and what came of it, beside what plain TCP makes of the same box.

import {
  MIDDLEBOX_ROWS,
  type MiddleboxRow,
  type MiddleboxVariant,
  type PathOptions,
  Random,
} from '../../src/netmodel/index.ts';
import { pick, whole } from '../../src/sim/chance.ts';
import { fillContent, streamKey } from '../../src/sim/content.ts';
import {
  type Application,
  type ApplicationPlan,
  simpleApplication,
  simplePlan,
  World,
  type WorldPlan,
} from '../../src/sim/index.ts';
import type { PacketTrace } from '../../src/sim/packet-trace.ts';

export type Traffic = 'up' | 'down' | 'both';

export interface Cell {
  readonly row: MiddleboxRow;
  readonly variant: MiddleboxVariant;
  readonly traffic: Traffic;
  readonly paths: 1 | 2;
  /** Index of the path with the box. */
  readonly at: 0 | 1;
  readonly checksum: boolean;
  /** Another seed, and another link, than the matrix has. */
  readonly seed?: number;
  readonly link?: PathOptions;
}

/** How a connection ended, seen by somebody who sees everything. */
export interface Outcome {
  /** When both applications had got where they wanted, or knew that they would not; Infinity for never. */
  readonly endMs: number;
  readonly client: End;
  readonly server: End;
  /** Promises of the stack to itself that were broken: not of delivery, but of order in the house. */
  readonly broken: readonly string[];
  readonly carried: 'MPTCP' | 'TCP' | '–';
  readonly fallback: string;
  readonly subflows: number;
}

export interface End {
  readonly sent: Uint8Array;
  readonly received: Uint8Array;
  readonly ended: boolean;
  readonly error: string | null;
}

/** What an application has to say, and to ask for it. */
export const BYTES: number = 512 * 1024;
export const REQUEST_BYTES: number = 100;
export const LINK: PathOptions = { rateBitsPerSecond: 10_000_000, delayMs: 10, queueBytes: 256_000 };
/** Over plain TCP through the same box. */
export const GRACE_MS = 2_000;
/** What is not settled by then never will be, for whoever waits. */
const PATIENCE_MS = 30_000;

/** Every cell there is. */
export function cells(): Cell[] {
  return MIDDLEBOX_ROWS.flatMap(row => row.variants.flatMap(variant => cellsOf(row, variant)));
}

function cellsOf(row: MiddleboxRow, variant: MiddleboxVariant): Cell[] {
  const list: Cell[] = [];
  const checksums = variant.checksum === undefined ? [false, true] : [variant.checksum === 'on'];
  for (const paths of variant.paths ?? ([1, 2] as const)) {
    const places: (0 | 1)[] =
      variant.on === 'joined' ? [1] : variant.on === 'each' && paths === 2 ? [0, 1] : [0];
    for (const at of places) {
      for (const checksum of checksums) {
        for (const traffic of ['up', 'down', 'both'] as const) {
          list.push({ row, variant, traffic, paths, at, checksum });
        }
      }
    }
  }
  return list;
}

export function nameOf({ row, variant, traffic, paths, at, checksum }: Cell): string {
  const place = paths === 1 ? 'one path' : at === 0 ? 'two paths, on the first' : 'two paths, on the second';
  return `${row.id} ${row.name}: ${variant.name}; ${place}; ${traffic}; checksum ${checksum ? 'on' : 'off'}`;
}

/** The cell with another seed, over another link, with a box that sets in at another time. */
export function varied(cell: Cell, seed: number): Cell {
  const random = new Random(seed).fork(nameOf(cell));
  const link: PathOptions = {
    rateBitsPerSecond: pick(random, [2, 5, 10, 20, 50]) * 1_000_000,
    delayMs: pick(random, [1, 5, 10, 20, 40, 75]),
    queueBytes: pick(random, [20_000, 64_000, 256_000]),
  };
  const fromMs = whole(random, 0, 600);
  const boxes = cell.variant.boxes.map(box =>
    'match' in box && box.match.fromMs !== undefined ? { ...box, match: { ...box.match, fromMs } } : box,
  );
  return { ...cell, variant: { ...cell.variant, boxes }, seed, link };
}

/** Ours with ours. */
export function runCell(cell: Cell, trace?: PacketTrace): Outcome {
  return run(planOf(cell), trace);
}

const references: Map<string, Outcome> = new Map();

/** Plain TCP through the same box, or through none where the first path has none. */
export function plainTcp(cell: Cell): Outcome {
  if (cell.seed !== undefined || cell.link !== undefined) return runPlain(cell);
  const key = `${cell.row.id} ${cell.variant.name} ${cell.traffic} ${cell.at}`;
  let outcome = references.get(key);
  if (outcome === undefined) {
    outcome = runPlain(cell);
    references.set(key, outcome);
  }
  return outcome;
}

function runPlain(cell: Cell): Outcome {
  const plan = planOf({ ...cell, paths: cell.at === 0 ? 1 : 2, checksum: false });
  plan.connections[0].multipath = false;
  plan.connections[0].paths.length = 1;
  return run(plan);
}

/** Of all chance in a cell, and of its content. */
export function seedOf({ row, seed }: Cell): number {
  return seed ?? 1 + Number.parseInt(row.id, 10);
}

function planOf(cell: Cell): WorldPlan {
  const { row, variant, traffic, paths, at, checksum, link = LINK } = cell;
  const seed = seedOf(cell);
  const plan = simplePlan({
    seed,
    paths: Array.from({ length: paths }, () => ({ forward: link, backward: link })),
  });
  plan.paths[at].middleboxes = [...variant.boxes];
  const [connection] = plan.connections;
  connection.checksum = checksum;
  connection.serverMultipath = variant.plainServer !== true;
  const client = traffic === 'down' ? REQUEST_BYTES : BYTES;
  const pauseMs = variant.pauseMs ?? 0;
  connection.clientApplication = sender(client, traffic === 'down' ? 'wait' : 'shutdown', pauseMs);
  connection.serverApplication = sender(
    traffic === 'up' ? 0 : BYTES,
    traffic === 'up' ? 'wait' : 'shutdown',
    pauseMs,
  );
  if (traffic === 'down') connection.serverApplication.send[0].afterReceivedBytes = REQUEST_BYTES;
  if (row.id === '26') {
    plan.hosts[1].interfaces.push({ ...plan.hosts[1].interfaces[0], address: '10.2.1.1' });
    connection.advertise = [1];
  }
  for (const application of [connection.clientApplication, connection.serverApplication]) {
    application.keepAliveMs = variant.keepAliveMs ?? 0;
  }
  plan.horizonMs = PATIENCE_MS;
  return plan;
}

function sender(bytes: number, finish: ApplicationPlan['finish'], pauseMs: number): ApplicationPlan {
  const application = simpleApplication({ sendBytes: bytes, finish });
  if (pauseMs === 0 || bytes < 1_000) return application;
  const half = bytes / 2;
  application.send = [{ bytes: half }, { bytes: half, gapMs: pauseMs }];
  return application;
}

function run(plan: WorldPlan, trace?: PacketTrace): Outcome {
  const broken: string[] = [];
  const read = new Map<Application, Uint8Array[]>();
  const options = {
    // Delivery is judged here, from what arrived; the rest of the oracles hold.
    overlooks: ({ oracle, message }: { oracle: string; message: string }): boolean => {
      if (!JUDGED_HERE.has(oracle)) broken.push(`${oracle}: ${message}`);
      return true;
    },
    onRead: (app: Application, bytes: Uint8Array, offset: number, length: number): void => {
      const parts = read.get(app) ?? [];
      parts.push(bytes.slice(offset, offset + length));
      read.set(app, parts);
    },
  };
  const world = new World(plan, trace === undefined ? options : { ...options, trace });
  const [connection] = world.connections;
  let endMs = Number.POSITIVE_INFINITY;
  let subflows = 0;
  for (let ms = STEP_MS; ms <= PATIENCE_MS && endMs === Number.POSITIVE_INFINITY; ms += STEP_MS) {
    world.run({ untilMs: ms });
    const { client, server } = connection;
    for (const app of [client, server]) {
      if (app.connection !== undefined && !app.closed) {
        connection.observe(app === client ? 'client' : 'server', app.connection);
      }
    }
    subflows = Math.max(subflows, connection.clientInfo?.subflows.length ?? 0);
    if (connection.done) endMs = Math.max(client.leftMs, server.connection === undefined ? 0 : server.leftMs);
  }
  const fallback = connection.clientInfo?.fallback ?? connection.serverInfo?.fallback ?? null;
  const plain = !plan.connections[0].multipath || connection.isPlain;
  const end = (app: Application, direction: 0 | 1): End => ({
    sent: content(plan.seed, direction, app.writtenBytes),
    received: joined(read.get(app) ?? []),
    ended: app.ended,
    error: app.error,
  });
  return {
    endMs,
    client: end(connection.client, 0),
    server: end(connection.server, 1),
    broken,
    carried: !connection.client.connected ? '–' : plain ? 'TCP' : 'MPTCP',
    fallback: fallback?.cause ?? '',
    subflows,
  };
}

function joined(parts: readonly Uint8Array[]): Uint8Array {
  return Buffer.concat(parts);
}

/** What the client (0) or the server (1) of a cell sends. */
export function content(seed: number, direction: 0 | 1, length: number): Uint8Array {
  const bytes = new Uint8Array(length);
  fillContent(streamKey(seed, 0, direction), 0, bytes, 0, length);
  return bytes;
}

/** What is wrong with the outcome; empty when the cell passes. */
export function judge(cell: Cell, outcome: Outcome): string[] {
  const wrong = [...outcome.broken];
  const plain = plainTcp(cell);
  const { client, server } = outcome;
  const transferMs = survives(plain) ? plain.endMs : LONE_TRANSFER_MS + 2 * (cell.variant.pauseMs ?? 0);
  const boundMs = transferMs + GRACE_MS;
  if (outcome.endMs > boundMs) {
    const got = `${server.received.length} and ${client.received.length} bytes delivered`;
    wrong.push(`not over after ${Math.round(boundMs)} ms (${ended(outcome)}; ${got})`);
  }
  const errors = [client.error, server.error];
  const failed = errors.some(error => error !== null);
  if (failed) {
    // The one that has all it wanted and has left needs no error.
    if (!errors.every(error => error !== null) && outcome.endMs < Number.POSITIVE_INFINITY) {
      wrong.push(`one end alone has an error: client ${client.error}, server ${server.error}`);
    }
    if (survives(plain)) wrong.push(`an error where plain TCP has none: ${errors.join(' and ')}`);
  }
  for (const [name, from, to, plainTo] of [
    ['client to server', client, server, plain.server],
    ['server to client', server, client, plain.client],
  ] as const) {
    const found = judgeStream(cell, from, to, plainTo);
    if (found !== '') wrong.push(`${name}: ${found}`);
  }
  return wrong;
}

/** What is wrong with what came, empty for nothing; `plain` is the receiver where plain TCP met the same box. */
export function judgeStream(cell: Cell, from: End, to: End, plain: End): string {
  const { alters } = cell.variant;
  const got = to.received;
  if (alters === 'length' && !cell.checksum) {
    // Undetectable (RFC 8684 §3.7): but nothing may come twice.
    const most = from.sent.length + INSERTED_BYTES;
    return got.length > most ? `${got.length} bytes read of ${from.sent.length} sent` : '';
  }
  const expected = startsWith(from.sent, got) || (alters !== undefined && startsWith(plain.received, got));
  const undetectable = alters === 'bytes' && !cell.checksum;
  if (!expected && !undetectable)
    return `wrong bytes from offset ${agreement(from.sent, got)} of ${got.length}`;
  if (!to.ended) return '';
  const complete =
    got.length === from.sent.length || (alters === 'length' && got.length === plain.received.length);
  return complete ? '' : `its end was seen after ${got.length} of ${from.sent.length} bytes`;
}

function survives(outcome: Outcome): boolean {
  return (
    outcome.endMs < Number.POSITIVE_INFINITY && outcome.client.error === null && outcome.server.error === null
  );
}

function ended({ client, server }: Outcome): string {
  const word = ({ ended, error }: End): string => error ?? (ended ? 'at the end' : 'open');
  return `client ${word(client)}, server ${word(server)}`;
}

function startsWith(whole: Uint8Array, part: Uint8Array): boolean {
  return part.length <= whole.length && agreement(whole, part) === part.length;
}

function agreement(one: Uint8Array, other: Uint8Array): number {
  const most = Math.min(one.length, other.length);
  if (Buffer.compare(one.subarray(0, most), other.subarray(0, most)) === 0) return most;
  let same = 0;
  while (one[same] === other[same]) same++;
  return same;
}

const STEP_MS = 50;
/** 512 KiB at 10 Mbit/s, with a slow start. */
const LONE_TRANSFER_MS = 700;
const INSERTED_BYTES = 10;
const JUDGED_HERE: ReadonlySet<string> = new Set([
  'content',
  'truncated',
  'finish',
  'progress',
  'fallback',
  'join',
]);
