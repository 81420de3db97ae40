// What `mptcp endpoint`, `limits` and `monitor` have in common: the kernel's path manager for as long as it
// is needed, the kernel's refusals in words, and devices by their names.

import { readdirSync, readFileSync } from 'node:fs';
import { KernelPathManager } from '../kernel/index.ts';
import { UsageError } from './command-line.ts';

/** Does something with the path manager; what it refuses is told in a sentence. */
export function withPathManager<T>(action: (manager: KernelPathManager) => T): T {
  let manager: KernelPathManager | undefined;
  try {
    manager = openPathManager();
    return action(manager);
  } catch (error) {
    throw inWords(error);
  } finally {
    manager?.close();
  }
}

/** The path manager, or why there is none. */
export function openPathManager(): KernelPathManager {
  try {
    return new KernelPathManager();
  } catch (error) {
    throw inWords(error);
  }
}

export function inWords(error: unknown): Error {
  const { code, message } = error as NodeJS.ErrnoException;
  if (code === 'EPERM') return new Error('this needs CAP_NET_ADMIN: run it as root');
  if (code === 'ENOENT' && !message.includes('endpoint')) {
    return new Error("this kernel's Multipath TCP has no path manager to talk to (Linux 5.6 or later)");
  }
  return error as Error;
}

/** The number of a device; 0 for none. */
export function interfaceIndex(device: string | undefined): number {
  if (device === undefined) return 0;
  const index = indexes().get(device);
  if (index === undefined) throw new UsageError(`there is no device "${device}"`);
  return index;
}

/** The name of a device; its number when it is gone. */
export function deviceName(index: number): string {
  for (const [name, number] of indexes()) if (number === index) return name;
  return `device ${index}`;
}

function indexes(): Map<string, number> {
  const folder = '/sys/class/net';
  return new Map(
    readdirSync(folder).map(name => [name, Number(readFileSync(`${folder}/${name}/ifindex`, 'utf8'))]),
  );
}
