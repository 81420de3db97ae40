// Decides what the shell lines of a script mean here: settings under Linux's sysctl names, addresses, endpoints.
// What only looks (nstat, ss, test) is not looked at. Before: run-script. After: machine's configuration.

import { runInNewContext } from 'node:vm';
import type { Machine } from './machine.ts';
import { Unsupported } from './script.ts';

/** Does what a shell line does to a running host; says what counter is not what it must be. */
export function runShell(command: string, machine: Machine): string | null {
  if (/\bnstat\b.* -n\b/.test(command)) machine.countFrom();

  if (/\broot fq\b/.test(command)) throw new Unsupported('the queueing discipline fq');
  if (/pfifo limit 0/.test(command)) throw new Unsupported('a queue that drops whatever leaves');
  // Those of google/packetdrill, other than those of Linux, have every listener take part.
  if (/common\/defaults\.sh/.test(command)) setSysctl(machine, 'ipv4.tcp_fastopen', '0x70403');
  for (const [name, value] of settings(command)) setSysctl(machine, name, value);
  for (const line of command.split(/[\n;]/)) {
    const words = line.trim().split(/\s+/);
    if (/multi-ep\.sh$/.test(words[0])) severalEndpoints(words.slice(1), machine);
    else if (/client\.sh$/.test(words[0])) severalEndpoints(['-e', '0'], machine);
    else if (/server\.sh$/.test(words[0])) severalEndpoints(['-e', '1'], machine);
    else if (words[0] === 'ip' && words[1] === 'mptcp') pathManager(words.slice(2), machine);
    else if (words[0] === 'ip' && words[1] === 'addr' && words[2] === 'add') {
      machine.addAddress(words[3].replace(/\/.*/, ''));
    }
  }
  for (const [, name, wanted] of command.matchAll(/\.kernel\.(\w+)'?"?\)"? -eq (\d+)/g)) {
    const counted = machine.counted(name.replace(/^(MPTcpExt|TcpExt|Tcp|IpExt)/, ''));
    if (counted !== Number(wanted)) return `${name} is ${counted}, not ${wanted}`;
  }
  return null;
}

/** What defaults.sh of the scripts sets, beside Linux's own defaults. */
export function setStandard(machine: Machine): void {
  // Since Linux 6.18.
  setSysctl(machine, 'core.rmem_max', '4194304');
  setSysctl(machine, 'core.wmem_max', '4194304');
  setSysctl(machine, 'ipv4.tcp_ecn', '0');
  setSysctl(machine, 'ipv4.tcp_slow_start_after_idle', '0');
  setSysctl(machine, 'ipv4.tcp_rmem', `4096 540000 ${15 * 1024 * 1024}`);
  setSysctl(machine, 'ipv4.tcp_wmem', `4096 ${256 * 1024} 4194304`);
  setSysctl(machine, 'ipv4.tcp_fastopen', '3');
  setSysctl(machine, 'ipv4.tcp_fastopen_key', 'a1a1a1a1-b2b2b2b2-c3c3c3c3-d4d4d4d4');
}

function setSysctl(machine: Machine, name: string, value: string): void {
  try {
    machine.sockets.host.sysctls.set(name, /^0x[0-9a-f]+$/i.test(value) ? Number(value) : value);
  } catch (error) {
    if (!HARMLESS.test(name)) throw new Unsupported(`sysctl ${name}=${value}: ${(error as Error).message}`);
  }
}

function settings(line: string): [string, string][] {
  const command = line.replace(/\$\(\(([\d*+ ]+)\)\)/g, (_, sum: string) => String(runInNewContext(sum)));
  const found: [string, string][] = [];
  const pattern = /([a-z]+(?:[./]\w+)*[./]\w+)=(?:["']([^"']*)["']|([^\s`;]+))/g;
  for (const match of command.matchAll(pattern)) {
    const name = match[1].replace(/^.*proc\/sys\//, '').replaceAll('/', '.');
    if (name.startsWith('net.')) found.push([name, match[2] ?? match[3]]);
  }
  for (const match of command.matchAll(/echo\s+"?([\w ]+?)"?\s*>\s*\/proc\/sys\/(\S+)/g)) {
    found.push([match[2].replaceAll('/', '.'), match[1]]);
  }
  return found;
}

/** multi-ep.sh [-e count] [-m signal|subflow] [-b]: addresses beside the first, each an endpoint. */
function severalEndpoints(words: readonly string[], machine: Machine): void {
  pathManager(['limits', 'set', 'add_addr_accepted', '8', 'subflows', '8'], machine);
  const at = words.indexOf('-e');
  const count = at < 0 ? 1 : Number(words[at + 1]);
  const modes = words.filter((_, i) => words[i - 1] === '-m');
  const flags = modes.length > 0 ? modes : ['signal'];
  for (let number = 1; number <= count; number++) {
    const address = machine.addresses.local(number);
    machine.addAddress(address);
    pathManager(['endpoint', 'add', address, ...flags, ...(words.includes('-b') ? ['backup'] : [])], machine);
  }
}

/** `ip mptcp endpoint add ADDRESS [id N] [port N] [FLAG]…`, `delete id N`, `flush`; `limits set …`. */
function pathManager(words: readonly string[], machine: Machine): void {
  const after = (name: string): number | undefined =>
    words.includes(name) ? Number(words[words.indexOf(name) + 1]) : undefined;
  const { now } = machine;
  const { endpoints } = machine.sockets.host;
  if (words[0] === 'limits') {
    const subflows = after('subflows');
    const addAddrAccepted = after('add_addr_accepted');
    endpoints.limit(
      {
        ...(subflows === undefined ? {} : { subflows }),
        ...(addAddrAccepted === undefined ? {} : { addAddrAccepted }),
      },
      now,
    );
  } else if (words[1] === 'add') {
    const address = words.find(word => /^[\da-f]+[.:][\da-f.:]+$/i.test(word)) ?? '';
    const id = after('id');
    const port = after('port');
    const flags = Object.fromEntries(FLAGS.filter(flag => words.includes(flag)).map(flag => [flag, true]));
    const numbers = { ...(id === undefined ? {} : { id }), ...(port === undefined ? {} : { port }) };
    endpoints.add({ address, ...numbers, ...flags }, now);
  } else if (words[1] === 'delete' || words[1] === 'del') {
    endpoints.remove(after('id') ?? 0, now);
  } else if (words[1] === 'flush') {
    endpoints.flush(now);
  }
  machine.settle();
}

const FLAGS = ['signal', 'subflow', 'backup', 'fullmesh'] as const;

/** Sysctls that the scripts set for tests of Linux, and that make no difference to what they check here. */
const HARMLESS =
  /tcp_(migrate_req|early_retrans|recovery|no_metrics_save|frto|fack|dsack|reordering|tso_|pacing_|limit_output|autocorking|moderate_rcvbuf|window_scaling|mtu_prob|invalid_ratelimit|min_tso|plb|adv_win|app_win|shrink_window|syncookies|mem$)|mptcp\.(pm_type|scheduler|stale_loss_cnt)|core\.|ip_no_pmtu/;
