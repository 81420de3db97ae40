// Standard input into a connection, the connection to standard output: what `listen` and `connect` share.
//
// Decides: the end of input closes our half only; the command ends when both halves are closed and everything
// is written; Ctrl-C aborts. Before: listen.ts, connect.ts. After: api/socket.

import { once } from 'node:events';
import { pipeline } from 'node:stream/promises';
import type { Endpoint, FallbackStatus, Socket, SubflowStatus } from '../api/index.ts';

/**
 * What Ctrl-C does, from the moment this is made: there is no time at which nobody answers it.
 */
export class Interrupt {
  /** At first there is nothing to be tidied up. */
  act: () => void = () => process.exit(interruptedCode);
  happened = false;

  constructor() {
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, this.#handle);
  }

  readonly #handle = (): void => {
    this.happened = true;
    this.act();
  };
}

/** Exit code: 0 when both sides finished, 130 when interrupted. Rejects with what went wrong. */
export async function join(
  socket: Socket,
  interrupt: Interrupt,
  say: (text: string) => void,
): Promise<number> {
  interrupt.act = () => socket.resetAndDestroy();
  socket.on('subflow', (subflow: SubflowStatus) => say(`path ${pathName(subflow)} joined`));
  socket.on('subflowclose', (subflow: SubflowStatus, reason: string) =>
    say(`path ${pathName(subflow)} closed${reason ? `: ${reason}` : ''}`),
  );
  socket.on('fallback', ({ cause }: FallbackStatus) => say(`fell back to plain TCP: ${cause}`));
  try {
    const closed = once(socket, 'close');
    await Promise.all([
      pipeline(process.stdin, socket as NodeJS.WritableStream),
      pipeline(socket as NodeJS.ReadableStream, process.stdout, { end: false }),
    ]);
    await closed;
    return 0;
  } catch (error) {
    if (interrupt.happened) return interruptedCode;
    throw error;
  } finally {
    // A terminal or a pipe that is still open must not keep a finished command.
    process.stdin.destroy();
  }
}

function pathName({ name, local, remote }: SubflowStatus): string {
  return `${name || local.address} (${address(local)} to ${address(remote)})`;
}

export function address(end: Endpoint): string {
  return end.address.includes(':') ? `[${end.address}]:${end.port}` : `${end.address}:${end.port}`;
}

/** What happens goes to standard error, so that standard output is the data and nothing else. */
export function teller(quiet: boolean): (text: string) => void {
  return quiet ? () => {} : text => void process.stderr.write(`mptcp: ${text}\n`);
}

const interruptedCode = 130;
