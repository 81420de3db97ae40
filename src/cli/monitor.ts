// `mptcp monitor`: what happens to the kernel's Multipath TCP connections, as it happens.

import { once } from 'node:events';
import type { PathEvent } from '../kernel/index.ts';
import { atMostPositionals, readArguments } from './command-line.ts';
import { address } from './join.ts';
import { deviceName, inWords, openPathManager } from './path-manager.ts';

export const usage: string = `mptcp monitor [--json]

Prints what happens to the Multipath TCP connections of the Linux kernel in this network namespace, a line
an event, until interrupted: connections and subflows that come and go, addresses announced and removed,
priorities, listeners. Needs CAP_NET_ADMIN.

  --json   one JSON object a line

`;

export async function run(args: string[]): Promise<number> {
  const { values, positionals } = readArguments(args, { json: { type: 'boolean', default: false } });
  atMostPositionals(positionals, 0);
  const manager = openPathManager();
  try {
    manager.follow(
      event => process.stdout.write(values.json ? `${JSON.stringify(event)}\n` : describe(event)),
      () => process.stderr.write('mptcp monitor: some events were missed: they came too fast\n'),
    );
  } catch (error) {
    manager.close();
    throw inWords(error);
  }
  // Watching keeps no process alive by itself.
  const hold = setInterval(() => {}, 2_147_483_647);
  await Promise.race([once(process, 'SIGINT'), once(process, 'SIGTERM')]);
  clearInterval(hold);
  manager.close();
  return 0;
}

/** An event in one line. */
export function describe(event: PathEvent): string {
  const { name, token, local, remote, localId, remoteId } = event;
  const words: string[] = [name.padEnd(20)];
  if (token !== undefined) words.push(`token ${token.toString(16).padStart(8, '0')}`);
  if (local !== undefined)
    words.push(`${address(local)}${remote === undefined ? '' : ` → ${address(remote)}`}`);
  else if (remote !== undefined) words.push(address(remote));
  if (localId !== undefined || remoteId !== undefined) words.push(`id ${localId ?? '-'}/${remoteId ?? '-'}`);
  if (event.backup === true) words.push('backup');
  if (event.serverSide === true) words.push('server');
  if (event.error !== undefined && event.error !== 0) words.push(`error ${event.error}`);
  if (event.resetReason !== undefined) words.push(`reset reason ${event.resetReason}`);
  if (event.interfaceIndex) words.push(`on ${deviceName(event.interfaceIndex)}`);
  return `${words.join('  ')}\n`;
}
