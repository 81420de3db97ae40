// A server that sends back what it gets: node examples/echo-server.mjs [PORT] [HOST]
import { createServer } from 'mptcp';

const [port = '7000', host] = process.argv.slice(2);

const server = createServer(socket => {
  const name = `${socket.remoteAddress}:${socket.remotePort}`;
  console.log(`${name} connected, ${socket.multipath.active ? 'Multipath TCP' : 'plain TCP'}`);
  socket.on('subflow', ({ remote }) => console.log(`${name} joined from ${remote.address}:${remote.port}`));
  socket.on('error', error => console.log(`${name}: ${error.message}`));
  socket.pipe(socket);
});

server.listen({ port: Number(port), ...(host && { host }) }, () => {
  const { address, port } = server.address();
  console.log(`listening on ${address} port ${port}`);
});
