// The receiving process of bench/udp: reads everything on both ports, ends when the sender has.

import { once } from 'node:events';
import { createServer as createNetServer } from 'node:net';
import { createServer } from '../src/api/index.ts';

const net = createNetServer(socket => socket.resume()).listen(0, '127.0.0.1');
const udp = createServer(socket => socket.resume()).listen(0, '127.0.0.1');
await Promise.all([once(net, 'listening'), once(udp, 'listening')]);
process.send?.({ net: (net.address() as { port: number }).port, udp: udp.address()?.port });
process.on('disconnect', () => process.exit());
