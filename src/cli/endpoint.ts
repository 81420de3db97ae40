// `mptcp endpoint`: the addresses that the kernel's path manager uses and tells of.

import { isIP } from 'node:net';
import type { KernelEndpoint } from '../kernel/index.ts';
import { atMostPositionals, readArguments, UsageError, wholeNumber } from './command-line.ts';
import { deviceName, interfaceIndex, withPathManager } from './path-manager.ts';

export const usage: string = `mptcp endpoint list [--json]
mptcp endpoint add ADDRESS [--device DEVICE] [--port PORT] [--id ID]
              [--signal] [--subflow] [--backup] [--fullmesh]
mptcp endpoint remove ID|ADDRESS
mptcp endpoint flush

The addresses that the Linux kernel uses for its Multipath TCP connections in this network namespace, from now
on. Changing them needs CAP_NET_ADMIN.

  --subflow         open subflows from this address (what add does unless told)
  --signal          tell peers of it, for them to open subflows to it
  --backup          use its subflows only while no other works
  --fullmesh        open subflows from it to every address of the peer
  --device DEVICE   bind its subflows to a network device
  --port PORT       with --signal: the port to be told
  --id ID           1 to 255 (default: a free one)

`;

export async function run(args: string[]): Promise<number> {
  const [action = 'list', ...rest] = args;
  switch (action) {
    case 'list':
      return list(rest);
    case 'add':
      return add(rest);
    case 'remove':
      return remove(rest);
    case 'flush':
      atMostPositionals(readArguments(rest, {}).positionals, 0);
      withPathManager(manager => manager.removeAllEndpoints());
      return 0;
    default:
      throw new UsageError(`unknown action "${action}": list, add, remove or flush`);
  }
}

function list(args: string[]): number {
  const { values, positionals } = readArguments(args, { json: { type: 'boolean', default: false } });
  atMostPositionals(positionals, 0);
  const endpoints = withPathManager(manager => manager.endpoints());
  process.stdout.write(values.json ? `${JSON.stringify(endpoints)}\n` : endpoints.map(describe).join(''));
  return 0;
}

function add(args: string[]): number {
  const { values, positionals } = readArguments(args, {
    ...{ device: { type: 'string' }, port: { type: 'string' }, id: { type: 'string' } },
    ...{ signal: { type: 'boolean' }, subflow: { type: 'boolean' } },
    ...{ backup: { type: 'boolean' }, fullmesh: { type: 'boolean' } },
  });
  atMostPositionals(positionals, 1);
  const [address = ''] = positionals;
  if (isIP(address) === 0) throw new UsageError(`ADDRESS has to be an IP address, not "${address}"`);
  const { signal = false, subflow = !signal, backup = false, fullmesh = false } = values;
  const { id, port } = values;
  const endpoint = {
    ...{ address, signal, subflow, backup, fullmesh, interfaceIndex: interfaceIndex(values.device) },
    ...(id === undefined ? {} : { id: wholeNumber(id, { name: '--id', min: 1, max: 255 }) }),
    ...(port === undefined ? {} : { port: wholeNumber(port, { name: '--port', min: 1, max: 65_535 }) }),
  };
  withPathManager(manager => manager.addEndpoint(endpoint));
  return 0;
}

function remove(args: string[]): number {
  const { positionals } = readArguments(args, {});
  atMostPositionals(positionals, 1);
  const [which = ''] = positionals;
  if (which === '') throw new UsageError('ID or ADDRESS is missing');
  withPathManager(manager => {
    const found = manager.endpoints().find(({ id, address }) => String(id) === which || address === which);
    if (found === undefined) throw new UsageError(`there is no endpoint ${which}`);
    manager.removeEndpoint(found.id);
  });
  return 0;
}

/** An endpoint in one line, in the words of `ip mptcp`. */
export function describe(endpoint: KernelEndpoint): string {
  const { id, address, port } = endpoint;
  const words = FLAGS.filter(flag => endpoint[flag]);
  const device = endpoint.interfaceIndex === 0 ? [] : [`on ${deviceName(endpoint.interfaceIndex)}`];
  const ported = port === 0 ? [] : [`port ${port}`];
  return `${[`id ${id}`, address, ...ported, ...words, ...device].join('  ')}\n`;
}

const FLAGS = ['signal', 'subflow', 'backup', 'fullmesh', 'implicit'] as const;
