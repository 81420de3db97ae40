// `mptcp connect HOST PORT`: a connection, joined to standard input and output. Next: join.ts.

import { once } from 'node:events';
import { connect } from '../api/index.ts';
import {
  atMostPositionals,
  captureOption,
  readArguments,
  tunOption,
  UsageError,
  wholeNumber,
} from './command-line.ts';
import { address, Interrupt, join, teller } from './join.ts';

export const usage: string = `mptcp connect HOST PORT [--path ADDR_OR_DEVICE[,backup]]... [--tun DEVICE]
              [--pcap FILE] [--quiet]

Opens a connection, copies standard input to it and what it brings to standard output, and ends when both
sides have finished. The connection is Multipath TCP in UDP: the other end is "mptcp listen"; or, with --tun,
Multipath TCP as it is.

  HOST          name or address of the other end
  PORT          its UDP port
  --path PATH   a local address or network device to use, and whether only as a backup (192.0.2.1, wlan0,
                wwan0,backup); may be given many times, the first one opens the connection
                (default: every usable address of this machine)
  --tun DEVICE  speak TCP through a TUN device; every --path is an address of our own on it ("mptcp tun up")
  --pcap FILE   record every packet, as pcapng, for Wireshark and tcpdump: TCP in UDP as the TCP it carries
  --quiet       say nothing on standard error unless it is an error

Nothing is encrypted.
`;

export interface PathArgument {
  local: string;
  backup: boolean;
}

export async function run(args: string[]): Promise<number> {
  const { values, positionals } = readArguments(args, {
    path: { type: 'string', multiple: true },
    tun: { type: 'string' },
    pcap: { type: 'string' },
    quiet: { type: 'boolean', default: false },
  });
  atMostPositionals(positionals, 2);
  const [host] = positionals;
  if (!host) throw new UsageError('HOST is missing');
  const port = wholeNumber(positionals[1], { name: 'PORT', min: 1, max: 65_535 });
  const paths = values.path?.map(readPath);
  if (values.tun !== undefined && paths === undefined) {
    throw new UsageError('--tun needs a --path, an address of our own on the device');
  }
  const say = teller(values.quiet);
  const interrupt = new Interrupt();
  const carrier = { ...tunOption(values.tun), ...captureOption(values.pcap) };
  const socket = connect({ host, port, allowHalfOpen: true, ...(paths && { paths }), ...carrier });
  await once(socket, 'connect');
  say(`connected to ${address({ address: socket.remoteAddress ?? host, port: socket.remotePort ?? port })}`);
  return join(socket, interrupt, say);
}

export function readPath(text: string): PathArgument {
  const [local = '', ...words] = text.split(',');
  const unknown = words.find(word => word !== 'backup');
  if (local === '') throw new UsageError('--path needs an address or a device');
  if (unknown !== undefined) throw new UsageError(`--path knows "backup", not "${unknown}"`);
  return { local, backup: words.includes('backup') };
}
