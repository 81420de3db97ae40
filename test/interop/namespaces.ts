// Two Linux kernels joined by two networks: what the kernel's own Multipath TCP needs for more than one path. Made
// and removed by the test that uses it; programs run inside as processes of their own.
//
// Decides: names and addresses (10.66.N.1 and .2 on network N, and fd66:0:0:N::1, ::2), and that a program says what
// it has to say as lines of JSON on its standard output.

import assert from 'node:assert/strict';
import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import type { TestContext } from 'node:test';
import { fileURLToPath } from 'node:url';
import { addNamespace, run } from './netns.ts';

export const API: string = fileURLToPath(new URL('../../src/api/index.js', import.meta.url));

const COMMAND: string = fileURLToPath(new URL('../../src/cli/main.js', import.meta.url));

/** A network namespace. */
export class Namespace {
  readonly name: string;

  constructor(t: TestContext) {
    this.name = addNamespace().name;
    t.after(() => run('ip', ['netns', 'del', this.name]));
    this.ip('link set lo up');
    // Nothing is blamed on a middlebox for later connections.
    this.sysctl({ 'net.mptcp.blackhole_timeout': 0, 'net.ipv6.conf.default.accept_dad': 0 });
  }

  ip(command: string): string {
    return run('ip', ['-n', this.name, ...command.split(' ')]);
  }

  /** A program that is no Node, within. */
  exec(command: string): string {
    return run('ip', ['netns', 'exec', this.name, ...command.split(' ')]);
  }

  /** Those this kernel does not have are left out. */
  sysctl(values: Record<string, number | string>): void {
    for (const [name, value] of Object.entries(values)) {
      this.exec(`sysctl -eqw ${name}=${value}`);
    }
  }

  /** The counters of one group that are not 0. */
  counters(group = 'MPTcpExt'): Record<string, number> {
    const text = this.exec('cat /proc/net/netstat') + this.exec('cat /proc/net/snmp');
    const [names = [], values = []] = text
      .split('\n')
      .filter(line => line.startsWith(`${group}: `))
      .map(line => line.split(' ').slice(1));
    const pairs = names.map((name, i) => [name, Number(values[i])] as const);
    return Object.fromEntries(pairs.filter(([, value]) => value !== 0));
  }

  /** The command of this package, within; what it prints. Throws when it fails. */
  mptcp(command: string, { uid }: ProgramOptions = {}): string {
    const node = [process.execPath, '--no-warnings', COMMAND, ...command.split(' ')];
    return run('ip', ['netns', 'exec', this.name, ...asUser(uid), ...node]);
  }

  /** A module of ECMAScript, within; `api` is this package. */
  start(t: TestContext, source: string, options: ProgramOptions = {}): Program {
    const script = `import * as api from ${JSON.stringify(API)};
      const say = value => process.stdout.write(JSON.stringify(value) + '\\n');
      ${source}`;
    return new Program(t, this.name, script, options);
  }
}

/** How a program is run. */
export interface ProgramOptions {
  /** As this user; root unless told. */
  readonly uid?: number;
}

/** A program in a namespace. */
export class Program {
  readonly #child: ChildProcessWithoutNullStreams;
  readonly #lines: unknown[] = [];
  #waiting: ((line: unknown) => void) | undefined;
  #errors = '';
  /** Fails when the program has ended. */
  readonly #over: Promise<never>;

  constructor(t: TestContext, namespace: string, script: string, { uid }: ProgramOptions) {
    const node = [process.execPath, '--no-warnings', '--input-type=module', '-e', script];
    this.#child = spawn('ip', ['netns', 'exec', namespace, ...asUser(uid), ...node]);
    t.after(() => void this.#child.kill('SIGKILL'));
    this.#child.stderr.on('data', (chunk: Buffer) => (this.#errors += chunk.toString()));
    this.#over = once(this.#child, 'close').then(() => {
      throw new Error(`the program has ended: ${this.#errors}`);
    });
    this.#over.catch(() => {});
    createInterface({ input: this.#child.stdout }).on('line', line => {
      const value: unknown = JSON.parse(line);
      if (this.#waiting === undefined) this.#lines.push(value);
      else {
        this.#waiting(value);
        this.#waiting = undefined;
      }
    });
  }

  /** The next thing it says. */
  async next<T = Record<string, unknown>>(): Promise<T> {
    if (this.#lines.length > 0) return this.#lines.shift() as T;
    const line = new Promise<unknown>(resolve => (this.#waiting = resolve));
    return (await Promise.race([line, this.#over])) as T;
  }

  /** The next thing it says that is what is waited for. */
  async until<T>(wanted: (line: T) => boolean | undefined): Promise<T> {
    for (;;) {
      const line = await this.next<T>();
      if (wanted(line) === true) return line;
    }
  }

  /** Says something to it. */
  tell(text: string): void {
    this.#child.stdin.write(`${text}\n`);
  }

  async ended(): Promise<number | null> {
    if (this.#child.exitCode === null && this.#child.signalCode === null) await once(this.#child, 'close');
    assert.equal(this.#errors, '');
    return this.#child.exitCode;
  }
}

/** Two namespaces with two networks between them. */
export function joinedNamespaces(t: TestContext): { near: Namespace; far: Namespace } {
  const [near, far] = [new Namespace(t), new Namespace(t)];
  for (const n of [0, 1]) {
    near.ip(`link add net${n} type veth peer name net${n} netns ${far.name}`);
    for (const [host, side] of [
      [1, near],
      [2, far],
    ] as const) {
      side.ip(`addr add 10.66.${n}.${host}/24 dev net${n}`);
      side.ip(`addr add fd66:0:0:${n}::${host}/64 dev net${n} nodad`);
      side.ip(`link set net${n} up`);
      side.sysctl({ [`net.ipv4.conf.net${n}.rp_filter`]: 0 });
    }
  }
  return { near, far };
}

function asUser(uid: number | undefined): string[] {
  return uid === undefined ? [] : ['setpriv', `--reuid=${uid}`, '--clear-groups'];
}
