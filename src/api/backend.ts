// Chooses who runs the protocol of a connection or a server: this package or the Linux kernel.
//
// Decides: what the kernel's sockets cannot be asked for, and that `backend: 'auto'` says, once for each
// reason, why it is not the kernel.
// Walk: api/connect asks before anything is made.

import { debuglog } from 'node:util';
import { impediment, mayManagePaths } from '../kernel/index.ts';
import { MptcpError } from './errors.ts';
import type { Backend } from './multipath.ts';
import type { BackendOption, ConnectOptions, ServerOptions } from './options.ts';

/** Who, and, where there was a choice, why. */
export interface Choice {
  readonly backend: Backend;
  readonly reason: string | null;
}

/** Throws when the kernel is asked for something it cannot do. */
export function chooseBackend(
  options: ConnectOptions | ServerOptions,
  { server = false }: { readonly server?: boolean } = {},
): Choice {
  const wanted: BackendOption = options.backend ?? 'user';
  if (wanted === 'user') return { backend: 'user', reason: null };
  const cannot = notInKernel(options, { server });
  if (wanted === 'kernel') {
    if (cannot === undefined) return { backend: 'kernel', reason: null };
    throw new MptcpError('ERR_INVALID_ARG_VALUE', {
      sentence: cannot,
      remedy: "leave it out, or use backend: 'user' or 'auto'",
    });
  }
  const missing = cannot ?? impediment()?.message ?? (server ? undefined : beyondRights(options));
  const choice: Choice =
    missing === undefined
      ? { backend: 'kernel', reason: 'the kernel has Multipath TCP and can do what was asked for' }
      : { backend: 'user', reason: missing };
  tell(choice);
  return choice;
}

/** What of these options the kernel's sockets do not have, as a sentence. */
export function notInKernel(
  options: ConnectOptions | ServerOptions,
  { server }: { readonly server: boolean },
): string | undefined {
  for (const [name, why] of Object.entries(NOT_IN_KERNEL)) {
    const value = (options as unknown as Record<string, unknown>)[name];
    if (value !== undefined && value !== false) return `option "${name}": ${why}`;
  }
  const { paths } = options;
  if (paths === undefined) return undefined;
  if (server && paths.length > 1)
    return 'option "paths": a socket of the kernel listens on one address, or on all';
  const known = server ? ONLY_LOCAL : IN_KERNEL;
  for (const [i, path] of paths.entries()) {
    const more = Object.keys(path).find(name => !known.has(name));
    if (more !== undefined) return `option "paths[${i}].${more}": the kernel's sockets have no such setting`;
  }
  return undefined;
}

/** What takes rights that this process has not, as a sentence. */
function beyondRights({ paths = [], service }: ConnectOptions | ServerOptions): string | undefined {
  const what = paths.length > 1 ? 'paths' : service === undefined ? undefined : 'service';
  if (what === undefined || mayManagePaths()) return undefined;
  return `option "${what}": managing the kernel's paths needs CAP_NET_ADMIN`;
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

const ONLY_LOCAL: ReadonlySet<string> = new Set(['local']);
const IN_KERNEL: ReadonlySet<string> = new Set(['local', 'name', 'backup']);
const log = debuglog('mptcp');
const told: Set<string> = new Set();
