// Chooses who runs the protocol of a connection or a server: this package or the Linux kernel.
//
// Decides: what the kernel's sockets cannot be asked for, and that `backend: 'auto'` says, once for each
// reason, why it is not the kernel.
// Walk: api/connect asks before anything is made.

import { debuglog } from 'node:util';
import { impediment } from '../kernel/index.ts';
import { MptcpError } from './errors.ts';
import type { Backend } from './multipath.ts';
import type { BackendOption, ConnectOptions, ServerOptions } from './options.ts';

/** Who, and, where there was a choice, why. */
export interface Choice {
  readonly backend: Backend;
  readonly reason: string | null;
}

/** Throws when the kernel is asked for something it cannot do. */
export function chooseBackend(options: ConnectOptions | ServerOptions): Choice {
  const wanted: BackendOption = options.backend ?? 'user';
  if (wanted === 'user') return { backend: 'user', reason: null };
  const cannot = notInKernel(options);
  if (wanted === 'kernel') {
    if (cannot === undefined) return { backend: 'kernel', reason: null };
    throw new MptcpError('ERR_INVALID_ARG_VALUE', {
      sentence: cannot,
      remedy: "leave it out, or use backend: 'user' or 'auto'",
    });
  }
  const missing = cannot ?? impediment()?.message;
  const choice: Choice =
    missing === undefined
      ? { backend: 'kernel', reason: 'the kernel has Multipath TCP and can do what was asked for' }
      : { backend: 'user', reason: missing };
  tell(choice);
  return choice;
}

/** What of these options the kernel's sockets do not have, as a sentence. */
export function notInKernel(options: ConnectOptions | ServerOptions): string | undefined {
  for (const [name, why] of Object.entries(NOT_IN_KERNEL)) {
    const value = (options as unknown as Record<string, unknown>)[name];
    if (value !== undefined && value !== false) return `option "${name}": ${why}`;
  }
  const { paths } = options;
  if (paths === undefined) return undefined;
  if (paths.length > 1) {
    return 'option "paths": the first subflow has one local address; more are endpoints of the kernel';
  }
  const more = Object.keys(paths[0]).find(name => name !== 'local');
  if (more === undefined) return undefined;
  return `option "paths[0].${more}": the kernel's sockets have no such setting`;
}

function tell({ backend, reason }: Choice): void {
  const who = backend === 'kernel' ? 'the kernel' : "this package's own stack";
  const line = `backend: 'auto' takes ${who}: ${reason}`;
  if (told.has(line)) return;
  told.add(line);
  // What everybody hopes for is nothing to be warned of.
  if (backend === 'kernel') log(line);
  else process.emitWarning(line, { type: 'MptcpWarning', code: 'MPTCP_BACKEND' });
}

const NOT_IN_KERNEL: Readonly<Record<string, string>> = {
  link: 'carriers are those of our own stack',
  device: 'devices are those of our own stack',
  pcap: 'the packets of the kernel do not pass here',
  mtu: 'the kernel learns the MTU by itself',
  config: 'these are settings of our own stack',
  checksum: 'the kernel asks for checksums for all or none (sysctl net.mptcp.checksum_enabled)',
  advertise: "addresses that the kernel advertises are its endpoints' (ip mptcp endpoint add … signal)",
};

const log = debuglog('mptcp');
const told: Set<string> = new Set();
