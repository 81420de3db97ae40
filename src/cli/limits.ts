// `mptcp limits`: how many subflows the kernel's path manager opens and accepts.

import { atMostPositionals, readArguments, wholeNumber } from './command-line.ts';
import { withPathManager } from './path-manager.ts';

export const usage: string = `mptcp limits [--subflows N] [--add-addr N]

Shows the limits of the Linux kernel's path manager in this network namespace, and sets them, which needs
CAP_NET_ADMIN. Connections that exist keep theirs.

  --subflows N   subflows of a connection beside its first, 0 to 8 (the kernel's default is 2)
  --add-addr N   addresses of the peer to open subflows to, 0 to 8 (the kernel's default is 0: none)

`;

export async function run(args: string[]): Promise<number> {
  const { values, positionals } = readArguments(args, {
    subflows: { type: 'string' },
    'add-addr': { type: 'string' },
  });
  atMostPositionals(positionals, 0);
  const count = (text: string, name: string): number => wholeNumber(text, { name, min: 0, max: 8 });
  const { subflows, 'add-addr': addAddr } = values;
  const wanted = {
    ...(subflows === undefined ? {} : { subflows: count(subflows, '--subflows') }),
    ...(addAddr === undefined ? {} : { addAddrAccepted: count(addAddr, '--add-addr') }),
  };
  const limits = withPathManager(manager => {
    if (Object.keys(wanted).length > 0) manager.setLimits({ ...manager.limits(), ...wanted });
    return manager.limits();
  });
  process.stdout.write(`subflows ${limits.subflows}\nadd-addr ${limits.addAddrAccepted}\n`);
  return 0;
}
