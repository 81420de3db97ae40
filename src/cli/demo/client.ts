// The sending process: one connection with a path over each network, the file into it, and what the paths do.
// Before: conductor.ts. After: api/socket.

import { createHash, type Hash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { pipeline } from 'node:stream/promises';
import { connect, type SubflowStatus } from '../../api/index.ts';
import { perform, report } from './actor.ts';
import type { ClientOrders, Fallback, PathReport } from './messages.ts';

perform<ClientOrders>(async ({ file, bytes, paths, pcap }) => {
  const [first] = paths;
  if (!first) throw new Error('there is no path to send on');
  const socket = connect({
    host: '127.0.0.1',
    port: first.port,
    allowHalfOpen: true,
    ...(pcap === undefined ? {} : { pcap }),
    paths: paths.map(({ name, port }) => ({ local: '127.0.0.1', name, remote: { host: '127.0.0.1', port } })),
  });
  const ledger = new PathLedger(paths.map(path => path.name));
  socket.on('subflowclose', (subflow: SubflowStatus) => ledger.note(subflow));
  let fallback: Fallback = null;
  const look = (): void => {
    const { subflows, fallback: now } = socket.multipath;
    for (const subflow of subflows) ledger.note(subflow);
    fallback = now ?? fallback;
  };
  const clock = setInterval(() => {
    look();
    report({ type: 'paths', paths: ledger.reports() });
  }, lookEveryMs);
  try {
    const hash = createHash('sha256');
    const closed = new Promise<void>(resolve => socket.once('close', () => resolve()));
    await pipeline(repeated(file, bytes, hash), socket as NodeJS.WritableStream, { end: false });
    socket.once('end', look); // While the subflows are still there to be looked at.
    socket.end();
    socket.resume();
    await closed;
    look();
    report({ type: 'sent', bytes, sha256: hash.digest('hex'), paths: ledger.reports(), fallback });
  } finally {
    clearInterval(clock);
  }
});

/** The bytes of a file, again and again, until there are `bytes` of them. */
async function* repeated(file: string, bytes: number, hash: Hash): AsyncGenerator<Buffer> {
  for (let left = bytes; left > 0; ) {
    const before = left;
    for await (const chunk of createReadStream(file, { highWaterMark: 256 * 1024 })) {
      const piece = (chunk as Buffer).subarray(0, left);
      hash.update(piece);
      left -= piece.length;
      yield piece;
      if (left === 0) return;
    }
    if (left === before) throw new Error(`${file} became empty while it was sent`);
  }
}

/** Totals for a path over all the subflows it has had: a path that was lost comes back as a new one. */
class PathLedger {
  readonly #names: readonly string[];
  readonly #subflows = new Map<number, SubflowStatus>();

  constructor(names: readonly string[]) {
    this.#names = names;
  }

  note(subflow: SubflowStatus): void {
    this.#subflows.set(subflow.id, subflow);
  }

  reports(): PathReport[] {
    return this.#names.map(name => {
      const all = [...this.#subflows.values()].filter(subflow => subflow.name === name);
      const latest = all.findLast(subflow => subflow.state !== 'closed') ?? all.at(-1);
      const measured = all.findLast(subflow => subflow.rttMs > 0);
      return {
        name,
        state: latest?.state ?? 'none',
        rttMs: Math.round((measured?.rttMs ?? 0) * 10) / 10,
        bytes: all.reduce((sum, subflow) => sum + subflow.bytesSent, 0),
        reinjectedBytes: all.reduce((sum, subflow) => sum + (subflow.bytesReinjected ?? 0), 0),
      };
    });
  }
}

const lookEveryMs = 100;
