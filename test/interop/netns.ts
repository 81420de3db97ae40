// Network namespaces for tests, each a host of the kernel's.
//
// Decides: names (unique to process and namespace, so that several run at once, and what a crashed test left is found
// and removed), sysctls that make the kernel give up sooner, and when a machine cannot do this at all.

import { execFileSync, spawnSync } from 'node:child_process';
import { accessSync, constants, existsSync, readFileSync } from 'node:fs';
import { foreign } from '../../src/ffi/index.ts';

const PREFIX = 'mptcp-test-';

/** Why no namespaces can be had on this machine, false when they can: for tests without further paths. */
export const skipNamespaces: string | false = impediment();

/** Why no test bed can be had on this machine, false when it can: for the `skip` option of a test. */
export const skip: string | false =
  skipNamespaces ||
  (!pathManagerAnswers() && "the kernel's path manager does not answer: ip mptcp limits show");

/** A new namespace, and how the names of devices begin that are made for it. */
export function addNamespace(): { readonly name: string; readonly devicePrefix: string } {
  if (namespacesMade === 0) removeStale();
  const number = ++namespacesMade;
  const name = `${PREFIX}${process.pid}-${number}`;
  run('ip', ['netns', 'add', name]);
  return { name, devicePrefix: `mt${process.pid % 1_000_000}n${number % 1000}d` };
}

/** Runs a program to its end; what it wrote. */
export function run(program: string, parameters: string[]): string {
  return execFileSync(program, parameters, { stdio: ['ignore', 'pipe', 'pipe'] }).toString();
}

function impediment(): string | false {
  if (process.platform !== 'linux') return 'the kernel to talk to is Linux, and this is not';
  if (process.getuid?.() !== 0) return 'not root: no network namespaces or TUN devices can be made';
  if (!existsSync('/dev/net/tun'))
    return 'no /dev/net/tun: the kernel has no TUN devices, or the container not';
  try {
    if (readFileSync('/proc/sys/net/mptcp/enabled', 'utf8').trim() !== '1')
      return 'net.mptcp.enabled is not 1';
  } catch {
    return 'this kernel has no Multipath TCP (CONFIG_MPTCP)';
  }
  for (const program of ['ip', 'python3']) {
    if (!isInstalled(program)) return `the program ${program} is not installed`;
  }
  try {
    foreign();
    run('ip', ['netns', 'list']);
    run('ip', ['netns', 'add', `${PREFIX}${process.pid}-0`]);
    run('ip', ['netns', 'del', `${PREFIX}${process.pid}-0`]);
  } catch (error) {
    return `this machine allows no network namespaces or foreign functions: ${(error as Error).message}`;
  }
  return false;
}

/**
 * A kernel whose generic netlink is stuck keeps whoever asks for ever, deaf to signals; so the question is the child of
 * a shell that stops waiting for it after 5 s.
 */
function pathManagerAnswers(): boolean {
  const script = `
    ip mptcp limits show & asked=$!
    for tick in $(seq 500); do
      kill -0 $asked || { wait $asked; exit; }
      sleep 0.01
    done
    exit 1`;
  return spawnSync('sh', ['-c', script], { stdio: 'ignore' }).status === 0;
}

function isInstalled(program: string): boolean {
  return (process.env['PATH'] ?? '').split(':').some(folder => {
    try {
      accessSync(`${folder}/${program}`, constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });
}

/** Removes namespaces of processes that no longer live. */
function removeStale(): void {
  const names = run('ip', ['netns', 'list']).split('\n');
  for (const line of names) {
    const name = line.split(' ')[0];
    const owner = /^mptcp-test-(\d+)-\d+$/.exec(name)?.[1];
    if (owner === undefined || existsSync(`/proc/${owner}`)) continue;
    try {
      run('ip', ['netns', 'del', name]);
    } catch {
      // Another test was quicker.
    }
  }
}

/** Nothing is blamed on a middlebox for later tests, and the kernel gives up while somebody still watches. */
export const SYSCTLS: Readonly<Record<string, number | string>> = {
  'net.mptcp.blackhole_timeout': 0,
  'net.mptcp.add_addr_timeout': 1,
  'net.mptcp.close_timeout': 2,
  'net.ipv4.tcp_syn_retries': 3,
  'net.ipv4.tcp_synack_retries': 3,
  'net.ipv4.tcp_retries2': 6,
  'net.ipv4.tcp_orphan_retries': 2,
  'net.ipv4.tcp_fin_timeout': 2,
};
let namespacesMade = 0;
