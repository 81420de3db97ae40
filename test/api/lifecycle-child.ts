// The other process of the lifecycle tests.

import { once } from 'node:events';
import { connect, createServer } from '../../src/api/index.ts';
import { echo, pattern, readAll } from './world.ts';

const [role, ...args] = process.argv.slice(2);

const ROLES: Record<string, () => Promise<void>> = {
  // An echo that runs until it is killed.
  serve: async () => {
    const server = createServer(echo).listen(0, '127.0.0.1');
    await once(server, 'listening');
    process.send?.({ port: server.address()?.port });
  },
  'serve-idle': async () => {
    const server = createServer().listen(0, '127.0.0.1');
    await once(server, 'listening');
    process.send?.({ port: server.address()?.port });
    process.disconnect?.();
  },
  'serve-unref': async () => {
    const server = createServer().listen(0, '127.0.0.1').unref();
    const alive = setInterval(() => {}, 1000);
    await once(server, 'listening');
    clearInterval(alive);
    process.send?.({ port: server.address()?.port });
  },
  ask: async () => {
    const client = connect(Number(args[0]), '127.0.0.1');
    client.end('question');
    await readAll(client);
    process.send?.({ port: 0 });
  },
  // Reads, and says so when there is something.
  read: async () => {
    const client = connect(Number(args[0]), '127.0.0.1');
    client.on('data', () => {});
    await once(client, 'data');
    process.send?.({ port: 0 });
  },
  send: async () => {
    const client = connect(Number(args[0]), '127.0.0.1');
    client.write(pattern(Number(args[1])));
    await once(client, 'connect');
    client.destroySoon();
    process.send?.({ port: 0 });
  },
};

await ROLES[role]?.();
