// One cell of the middlebox matrix on the wire: a connection between two kernels, a kernel and us, or two of us,
// through a middlebox on an emulated link, and what came of it. The cells, the link and the content are those of the
// simulator's matrix (test/sim/middlebox-cell.ts), in real time.

import {
  BYTES,
  type Cell,
  content,
  type End,
  judgeStream,
  LINK,
  plainTcp,
  REQUEST_BYTES,
  seedOf,
} from '../sim/middlebox-cell.ts';
import { type HostKind, SECOND_SERVER_ADDRESS, SERVER_ADDRESS, WireBed, type WireHost } from './wire-bed.ts';
import { type Carried, KernelEnd, OurEnd, reasonOf, type WireEnd } from './wire-end.ts';
import type { Grade, Pairing, WireOutcome } from './wire-records.ts';

/** A cell whose hosts stand ready. */
export class WireCell {
  readonly cell: Cell;
  readonly #bed: WireBed;
  readonly #contents: readonly [Uint8Array, Uint8Array];
  readonly #before: Record<string, Record<string, number>>;
  readonly #accept: () => Promise<WireEnd>;

  static async prepare(pairing: Pairing, cell: Cell): Promise<WireCell> {
    const [client, server] = pairing.split('-') as [HostKind, HostKind];
    const links = Array.from({ length: cell.paths }, (_, i) => ({
      link: LINK,
      middleboxes: i === cell.at ? cell.variant.boxes : [],
    }));
    const bed = await WireBed.open({
      client,
      server,
      links,
      checksum: cell.checksum,
      announces: cell.row.id === '26',
      seed: seedOf(cell),
    });
    const contents = [
      content(seedOf(cell), 0, said(cell, 0)),
      content(seedOf(cell), 1, said(cell, 1)),
    ] as const;
    await Promise.all([bed.client.peer?.load(contents[0]), bed.server.peer?.load(contents[1])]);
    const accept = await listen(bed.server, cell, contents[1]);
    return new WireCell({ cell, bed, contents, accept, before: await countersOf(bed) });
  }

  private constructor(parts: {
    cell: Cell;
    bed: WireBed;
    contents: readonly [Uint8Array, Uint8Array];
    accept: () => Promise<WireEnd>;
    before: Record<string, Record<string, number>>;
  }) {
    this.cell = parts.cell;
    this.#bed = parts.bed;
    this.#contents = parts.contents;
    this.#accept = parts.accept;
    this.#before = parts.before;
  }

  /** What is not over after `patienceMs` is a hang. */
  async run(patienceMs: number): Promise<WireOutcome> {
    const { cell } = this;
    const [client, server] = [new Side(this.#contents[0]), new Side(this.#contents[1])];
    this.#bed.start();
    const startedMs = performance.now();
    const clientDone = client.run(connect(this.#bed.client, cell, this.#contents[0]), end =>
      cell.traffic === 'up' ? speak(end, cell) : ask(end),
    );
    const serverDone = server.run(this.#accept(), end =>
      cell.traffic === 'up' ? listenTo(end) : answer(end, cell),
    );
    const over = clientDone.then(async () => {
      // One that never got through leaves nobody behind who waits.
      if (client.end !== undefined || server.end !== undefined) await serverDone;
    });
    const inTime = await Promise.race([over.then(() => true), afterMs(patienceMs).then(() => false)]);
    const ms = performance.now() - startedMs;
    await Promise.all([client.look(), server.look()]);
    return { ...this.#judge(client, server, inTime), ms: Math.round(ms), counters: await this.#moved() };
  }

  async close(): Promise<void> {
    await this.#bed.close();
  }

  #judge(client: Side, server: Side, inTime: boolean): Omit<WireOutcome, 'ms' | 'counters'> {
    const { cell } = this;
    const [near, far] = [client.seen(), server.seen()];
    const plain = cell.variant.alters === undefined ? undefined : plainTcp(cell);
    const wrong = [
      judgeStream(cell, near, far, plain?.server ?? near),
      judgeStream(cell, far, near, plain?.client ?? far),
    ].filter(text => text !== '');
    const grade: Grade =
      wrong.length > 0
        ? 'wrong bytes'
        : !inTime
          ? 'hang'
          : near.error !== null || far.error !== null
            ? 'error'
            : 'intact';
    const ends = `client ${client.word()}, server ${server.word()}`;
    const what = grade === 'intact' ? '' : [...wrong, ends].join('; ');
    return { grade, carried: client.carried ?? server.carried ?? '–', what };
  }

  async #moved(): Promise<Record<string, Record<string, number>>> {
    const now = await countersOf(this.#bed);
    const moved: Record<string, Record<string, number>> = {};
    for (const [side, counters] of Object.entries(now)) {
      const changed = Object.entries(counters)
        .map(([name, value]) => [name, value - (this.#before[side]?.[name] ?? 0)] as const)
        .filter(([, difference]) => difference !== 0);
      moved[side] = Object.fromEntries(changed);
    }
    return moved;
  }
}

/** What one side of the cell does and sees. */
class Side {
  end: WireEnd | undefined;
  carried: Carried | undefined;
  readonly #sends: Uint8Array;
  #received: Uint8Array = new Uint8Array(0);
  #ended = false;
  #error: string | null = null;

  constructor(sends: Uint8Array) {
    this.#sends = sends;
  }

  /** Resolves when this side has all it wanted, or knows that it will not get it. */
  async run(opening: Promise<WireEnd>, part: (end: WireEnd) => Promise<void>): Promise<void> {
    try {
      this.end = await opening;
      await part(this.end);
      this.#ended = true;
    } catch (error) {
      this.#error = reasonOf(error);
    }
  }

  /** Keeps what has come so far. */
  async look(): Promise<void> {
    if (this.end === undefined) return;
    this.#received = await this.end.received();
    try {
      this.carried = await this.end.carried();
    } catch {
      // A socket that has failed does not tell.
    }
  }

  seen(): End {
    return { sent: this.#sends, received: this.#received, ended: this.#ended, error: this.#error };
  }

  word(): string {
    const state =
      this.#error ?? (this.#ended ? 'at the end' : this.end === undefined ? 'not connected' : 'waiting');
    return `${state} with ${this.#received.length} bytes`;
  }
}

async function connect(host: WireHost, cell: Cell, sends: Uint8Array): Promise<WireEnd> {
  if (host.ours === undefined) {
    const { peer } = host;
    if (peer === undefined) throw new Error('no host');
    return new KernelEnd(await peer.connect({ address: SERVER_ADDRESS, port: PORT, congestion: 'cubic' }));
  }
  const flow = host.ours.connect({
    remote: { address: SERVER_ADDRESS, port: PORT },
    paths: host.interfaces.map(interfaceId => ({ interfaceId })),
    keepAliveMs: cell.variant.keepAliveMs ?? 0,
  });
  await flow.connected();
  return new OurEnd(flow, sends);
}

/** Returns how to wait for the connection. */
async function listen(host: WireHost, cell: Cell, sends: Uint8Array): Promise<() => Promise<WireEnd>> {
  const multipath = cell.variant.plainServer !== true;
  if (host.ours !== undefined) {
    const listener = host.ours.listen({
      port: PORT,
      multipath,
      ...(cell.row.id === '26' ? { advertise: [{ address: SECOND_SERVER_ADDRESS }] } : {}),
    });
    return async () => {
      const flow = await listener.accept();
      flow.keepAlive(cell.variant.keepAliveMs ?? 0);
      return new OurEnd(flow, sends);
    };
  }
  const { peer } = host;
  if (peer === undefined) throw new Error('no host');
  const server = await peer.listen({ address: '0.0.0.0', port: PORT, mptcp: multipath, congestion: 'cubic' });
  return async () => new KernelEnd(await server.accept());
}

/** The client's part of an upload, and the server's. */
async function speak(end: WireEnd, cell: Cell): Promise<void> {
  await Promise.all([tell(end, cell), end.collect()]);
}

async function listenTo(end: WireEnd): Promise<void> {
  await end.collect();
  await end.shutdown();
}

/** The client's part of a download, and the server's. */
async function ask(end: WireEnd): Promise<void> {
  await end.send({ from: 0, to: REQUEST_BYTES });
  await end.collect();
  await end.shutdown();
}

async function answer(end: WireEnd, cell: Cell): Promise<void> {
  if (await end.collect(REQUEST_BYTES)) throw new Error('ended before it asked');
  await Promise.all([tell(end, cell), end.collect()]);
}

async function tell(end: WireEnd, { variant }: Cell): Promise<void> {
  await end.send({ from: 0, to: BYTES / 2 });
  if (variant.pauseMs !== undefined) await afterMs(variant.pauseMs);
  await end.send({ from: BYTES / 2, to: BYTES });
  await end.shutdown();
}

function said({ traffic }: Cell, direction: 0 | 1): number {
  if (direction === 0) return traffic === 'down' ? REQUEST_BYTES : BYTES;
  return traffic === 'up' ? 0 : BYTES;
}

async function countersOf(bed: WireBed): Promise<Record<string, Record<string, number>>> {
  const all: Record<string, Record<string, number>> = {};
  for (const side of ['client', 'server'] as const) {
    const groups = await bed[side].peer?.counters();
    if (groups !== undefined) all[side] = groups['MPTcpExt'];
  }
  return all;
}

function afterMs(ms: number): Promise<void> {
  return new Promise(resolve => {
    setTimeout(resolve, ms).unref();
  });
}

/** Row 29h has a rule for it. */
const PORT = 443;
