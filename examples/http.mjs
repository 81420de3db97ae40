// HTTP over Multipath TCP, with Node's own http module on both sides: node examples/http.mjs
import { once } from 'node:events';
import http from 'node:http';
import { connect, createServer } from 'mptcp';

// The HTTP server never listens itself: it is handed the connections of ours.
const web = http.createServer((request, response) => {
  const { active, subflows } = request.socket.multipath;
  response.end(`${request.url} over ${active ? 'Multipath TCP' : 'TCP'}, ${subflows.length} path(s)\n`);
});
const server = createServer(socket => web.emit('connection', socket));
server.listen(0, '127.0.0.1');
await once(server, 'listening');

const request = http.get({
  host: '127.0.0.1',
  port: server.address().port,
  path: '/hello',
  createConnection: options => connect({ host: options.host, port: options.port }),
});
const [response] = await once(request, 'response');
for await (const chunk of response.setEncoding('utf8')) process.stdout.write(chunk);
server.close();
