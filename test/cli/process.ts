// The command as a child process of a test: started, fed, listened to, always ended.

import { type ChildProcess, spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import type { TestContext } from 'node:test';
import { fileURLToPath } from 'node:url';

const main: string = fileURLToPath(new URL('../../src/cli/main.js', import.meta.url));
const limitMs = 120_000;

export interface Ended {
  code: number | null;
  signal: NodeJS.Signals | null;
  stdout: Buffer;
  stderr: string;
}

export class Command {
  readonly child: ChildProcess;
  readonly ended: Promise<Ended>;
  stdout: Buffer[] = [];
  stderr = '';
  readonly #waiting = new Set<() => void>();

  /** `program`: what runs the command, when that is not this Node alone. */
  constructor(
    t: TestContext,
    args: readonly string[],
    program: readonly string[] = [process.execPath, main],
  ) {
    const [file = '', ...before] = program;
    this.child = spawn(file, [...before, ...args], {
      stdio: 'pipe',
      env: { ...process.env, TERM: 'dumb' },
    });
    const limit = setTimeout(() => this.child.kill('SIGKILL'), limitMs);
    t.after(() => {
      clearTimeout(limit);
      this.child.kill('SIGKILL');
    });
    this.child.stdin?.on('error', () => {}); // It may have ended; what it printed says why.
    this.child.stdout?.on('data', (chunk: Buffer) => this.#heard(() => this.stdout.push(chunk)));
    this.child.stderr?.on('data', (chunk: Buffer) => this.#heard(() => (this.stderr += chunk.toString())));
    this.ended = new Promise(resolve => {
      this.child.once('close', (code, signal) => {
        this.#heard(() => {});
        resolve({ code, signal, stdout: Buffer.concat(this.stdout), stderr: this.stderr });
      });
    });
  }

  /** Waits until something the command has printed matches. */
  async until(pattern: RegExp): Promise<RegExpExecArray> {
    for (;;) {
      const match = pattern.exec(this.stderr) ?? pattern.exec(Buffer.concat(this.stdout).toString());
      if (match) return match;
      if (this.child.exitCode !== null || this.child.signalCode !== null) {
        throw new Error(`ended before it printed ${pattern}:\n${this.stderr}${Buffer.concat(this.stdout)}`);
      }
      await new Promise<void>(resolve => this.#waiting.add(resolve));
    }
  }

  #heard(note: () => void): void {
    note();
    for (const go of this.#waiting) go();
    this.#waiting.clear();
  }
}

export async function runCommand(t: TestContext, args: readonly string[], input = ''): Promise<Ended> {
  const command = new Command(t, args);
  command.child.stdin?.end(input);
  return command.ended;
}

/** The processes a process has started; only where /proc tells. */
export function childrenOf(pid: number): number[] {
  const text = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim();
  return text === '' ? [] : text.split(' ').map(Number);
}

export function isRunning(pid: number): boolean {
  try {
    // A zombie whose parent has not looked yet has ended.
    return !/^State:\s+[ZX]/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'));
  } catch {
    return false;
  }
}
