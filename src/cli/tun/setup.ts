// Runs `ip`, prints what it runs, and makes one line of what it complains about.
//
// Decides: that a right which is missing is called by its name. Before: tun.ts, translate.ts.

import { spawnSync } from 'node:child_process';

/** Commands that belong together, and how to take them back. */
export class Setup {
  readonly #undo: string[] = [];

  /** Runs one command; throws with one line that says which failed and why. */
  ip(command: string): void {
    run(command);
    process.stdout.write(`ip ${command}\n`);
  }

  /** What `undo` is to run for what has been done so far. */
  onFailure(command: string): void {
    this.#undo.unshift(command);
  }

  /** Takes back what there is to take back, last things first, and says nothing of what is gone already. */
  undo(): void {
    for (const command of this.#undo.splice(0)) {
      try {
        this.ip(command);
      } catch {
        // Gone with something else.
      }
    }
  }
}

function run(command: string): void {
  const { status, stderr, error } = spawnSync('ip', command.split(' '), { encoding: 'utf8' });
  if (error !== undefined) {
    const code = (error as NodeJS.ErrnoException).code;
    const why = code === 'ENOENT' ? 'is not installed (it belongs to iproute2)' : error.message;
    throw new Error(`the program ip ${why}`);
  }
  if (status === 0) return;
  const complaint = stderr.trim().split('\n')[0] ?? '';
  const right = /not permitted|denied/i.test(complaint) ? '; this needs root or CAP_NET_ADMIN' : '';
  throw new Error(`ip ${command}: ${complaint || `exit code ${status}`}${right}`);
}
