// One connection over two local addresses, one of which goes away: node examples/two-paths.mjs
//
// The addresses are two of the loopback network (127.0.0.0/8 is all of it on Linux); on a laptop they would be those
// of Wi-Fi and LTE, or the names of the devices: paths: [{ local: 'wlan0' }, { local: 'wwan0' }].
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { connect, createServer } from 'mptcp';

const content = randomBytes(20_000_000);
const sha256 = data => createHash('sha256').update(data).digest('hex');

const server = createServer(async socket => {
  server.close();
  const chunks = [];
  for await (const chunk of socket) chunks.push(chunk);
  const received = Buffer.concat(chunks);
  console.log(
    `received ${received.length} bytes, ${sha256(received) === sha256(content) ? 'intact' : 'NOT INTACT'}`,
  );
});
server.listen(0, '127.0.0.1');
await once(server, 'listening');

const socket = connect({
  host: '127.0.0.1',
  port: server.address().port,
  paths: [
    { local: '127.0.0.1', name: 'first' },
    { local: '127.0.0.2', name: 'second' },
  ],
});
socket.on('subflow', ({ name }) => console.log(`path "${name}" is in use`));
socket.on('subflowclose', ({ name, bytesSent }) =>
  console.log(`path "${name}" is gone, it sent ${bytesSent} bytes`),
);
await once(socket, 'connect');

const half = content.length / 2;
await new Promise(resolve => socket.write(content.subarray(0, half), resolve));
socket.removePath('127.0.0.1');
socket.end(content.subarray(half));
await once(socket.resume(), 'close');
