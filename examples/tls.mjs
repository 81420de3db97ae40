// TLS over Multipath TCP, which does not encrypt by itself: node examples/tls.mjs
//
// The certificate is for this example only: its key is public.
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import tls from 'node:tls';
import { connect, createServer } from 'mptcp';

const key = readFileSync(new URL('localhost-key.pem', import.meta.url));
const cert = readFileSync(new URL('localhost-cert.pem', import.meta.url));

const secure = tls.createServer({ key, cert }, socket => {
  socket.end(`hello over ${socket.getProtocol()}\n`);
});
const server = createServer(socket => secure.emit('connection', socket));
server.listen(0, '127.0.0.1');
await once(server, 'listening');

const plain = connect({ host: '127.0.0.1', port: server.address().port });
const socket = tls.connect({ socket: plain, servername: 'localhost', ca: cert });
await once(socket, 'secureConnect');
console.log(`certificate checked: ${socket.authorized}`);
for await (const chunk of socket.setEncoding('utf8')) process.stdout.write(chunk);
server.close();
