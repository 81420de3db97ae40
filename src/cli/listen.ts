// `mptcp listen PORT [HOST]`: one connection, joined to standard input and output. Next: join.ts.

import { once } from 'node:events';
import { createServer, type Socket } from '../api/index.ts';
import {
  atMostPositionals,
  captureOption,
  readArguments,
  tunOption,
  UsageError,
  wholeNumber,
} from './command-line.ts';
import { address, Interrupt, join, teller } from './join.ts';

export const usage: string = `mptcp listen PORT [HOST] [--tun DEVICE] [--pcap FILE] [--quiet]

Waits for one connection, copies standard input to it and what it brings to standard output, and ends when
both sides have finished. The connection is Multipath TCP in UDP: the other end is "mptcp connect"; or,
with --tun, Multipath TCP as it is.

  PORT          the port to listen on; 0 lets the system choose
  HOST          the local address to listen on (default: all addresses of this machine)
  --tun DEVICE  speak TCP through a TUN device; HOST is an address of our own on it ("mptcp tun up")
  --pcap FILE   record every packet, as pcapng, for Wireshark and tcpdump: TCP in UDP as the TCP it carries
  --quiet       say nothing on standard error unless it is an error

Nothing is encrypted.
`;

export async function run(args: string[]): Promise<number> {
  const { values, positionals } = readArguments(args, {
    tun: { type: 'string' },
    pcap: { type: 'string' },
    quiet: { type: 'boolean', default: false },
  });
  atMostPositionals(positionals, 2);
  const port = wholeNumber(positionals[0], { name: 'PORT', min: 0, max: 65_535 });
  const host = positionals[1];
  if (values.tun !== undefined && host === undefined) {
    throw new UsageError('--tun needs HOST, an address of our own on the device');
  }
  const say = teller(values.quiet);
  const interrupt = new Interrupt();
  const server = createServer({
    allowHalfOpen: true,
    pauseOnConnect: true,
    ...(values.tun !== undefined && host !== undefined && { paths: [{ local: host }] }),
    ...tunOption(values.tun),
    ...captureOption(values.pcap),
  });
  const connection = once(server, 'connection') as Promise<[Socket]>;
  connection.catch(() => {}); // An error of the server is thrown by whoever waits first.
  server.listen(host === undefined ? { port } : { port, host });
  await once(server, 'listening');
  const bound = server.address();
  if (bound) say(`listening on ${address(bound)}`);
  const [socket] = await connection;
  server.close();
  say(`connection from ${address({ address: socket.remoteAddress ?? '', port: socket.remotePort ?? 0 })}`);
  return join(socket, interrupt, say);
}
