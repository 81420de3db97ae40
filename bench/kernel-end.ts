// One end of a transfer that `bench -- kernel` measures, in a process of its own: told what to do in lines of JSON, it
// answers in lines of JSON.
//
// `node kernel-end.js ours`: with the sockets of this package, backend 'kernel'. `node kernel-end.js net`: with node:net,
// which is plain TCP, or Multipath TCP where mptcpize made it so.

import * as net from 'node:net';
import { createInterface } from 'node:readline';
import { connect, createServer, multipathOf } from '../src/api/index.ts';

type Order =
  | { readonly listen: true }
  | { readonly port: number; readonly bytes: number }
  | { readonly cpu: true };

const ours = process.argv[2] === 'ours';
const HOST = '127.0.0.1';
const CHUNK: Buffer = Buffer.alloc(65_536, 1);

const say = (value: unknown): void => void process.stdout.write(`${JSON.stringify(value)}\n`);

createInterface({ input: process.stdin }).on('line', line => {
  const order = JSON.parse(line) as Order;
  if ('listen' in order) listen();
  else if ('cpu' in order) say({ cpuSeconds: cpuSeconds() });
  else send(order.port, order.bytes);
});

/** Takes connections, counts what comes, and answers the end with an end. */
function listen(): void {
  const count = (socket: net.Socket): void => void socket.resume().on('error', () => {});
  const server = ours ? createServer({ backend: 'kernel' }, count) : net.createServer(count);
  server.listen(0, HOST, () => say({ port: (server.address() as net.AddressInfo).port }));
}

/** Sends so many bytes, and tells how long it took until the other end had them all. */
function send(port: number, bytes: number): void {
  const socket: net.Socket = ours
    ? connect({ backend: 'kernel', host: HOST, port })
    : net.connect({ host: HOST, port });
  let left = bytes;
  let multipath: boolean | undefined;
  let began = 0;
  let cpuBefore = 0;
  const write = (): void => {
    while (left > 0) {
      left -= CHUNK.length;
      if (!socket.write(CHUNK)) break;
    }
    if (left <= 0 && !socket.writableEnded) socket.end();
  };
  socket.on('connect', () => {
    multipath = multipathOf(socket)?.active;
    began = performance.now();
    cpuBefore = cpuSeconds();
    write();
  });
  socket.on('drain', write);
  socket.on('error', error => say({ error: error.message }));
  socket.resume();
  socket.on('end', () => {
    const seconds = (performance.now() - began) / 1000;
    say({ seconds, cpuSeconds: cpuSeconds() - cpuBefore, multipath });
  });
}

function cpuSeconds(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1e6;
}
