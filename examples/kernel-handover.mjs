// A Linux kernel at both ends, two networks, one of which falls silent: node examples/kernel-handover.mjs (as root)
//
// It makes two network namespaces joined by two links, and removes them again. The server is plain; the client says
// what its connection is for, and that is carried out with the kernel's path manager.
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { connect, createServer } from 'mptcp';

const [role, far] = process.argv.slice(2);
if (role === 'serve') serve();
else if (role === 'ask') await ask();
else await main();

function serve() {
  const server = createServer({ backend: 'kernel' }, socket => socket.pipe(socket));
  server.listen(7000, () => console.log('the server listens'));
}

async function ask() {
  const socket = connect({
    ...{ backend: 'kernel', host: '10.99.0.2', port: 7000, noDelay: true, service: 'handover' },
    paths: [
      { local: '10.99.0.1', name: 'wifi' },
      { local: '10.99.1.1', name: 'lte' },
    ],
  });
  socket.on('subflow', ({ name, backup }) =>
    console.log(`${name} is in use${backup ? ', as a backup' : ''}`),
  );
  socket.on('subflowclose', ({ name }) => console.log(`${name} is not in use any more`));
  socket.on('unhonoured', ({ what, why }) => console.log(`not done: ${what}: ${why}`));
  await once(socket, 'connect');
  let worst = 0;
  for (let i = 0; i < 20; i++) {
    if (i === 10) ip(`-n ${far} route add blackhole 10.99.0.1`);
    const began = performance.now();
    socket.write('a question');
    await once(socket, 'data');
    const tookMs = performance.now() - began;
    worst = Math.max(worst, tookMs);
    await new Promise(resolve => setTimeout(resolve, Math.max(0, 100 - tookMs)));
  }
  console.log(`the longest answer took ${worst.toFixed(0)} ms; Linux alone needs some 800`);
  socket.destroy();
}

async function main() {
  if (process.platform !== 'linux' || process.getuid() !== 0) {
    console.log('skipped: network namespaces are for root, on Linux');
    return;
  }
  const [here, there] = [`mptcp-example-${process.pid}-a`, `mptcp-example-${process.pid}-b`];
  const start = (namespace, ...words) =>
    spawn('ip', ['netns', 'exec', namespace, process.execPath, fileURLToPath(import.meta.url), ...words], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
  let server;
  try {
    for (const namespace of [here, there]) ip(`netns add ${namespace}`);
    for (const n of [0, 1]) {
      ip(`-n ${here} link add net${n} type veth peer name net${n} netns ${there}`);
      ip(`-n ${here} addr add 10.99.${n}.1/24 dev net${n}`);
      ip(`-n ${there} addr add 10.99.${n}.2/24 dev net${n}`);
      for (const namespace of [here, there]) ip(`-n ${namespace} link set net${n} up`);
    }
    server = start(there, 'serve');
    await once(server.stdout, 'data');
    const client = start(here, 'ask', there);
    client.stdout.pipe(process.stdout);
    await once(client, 'close');
  } finally {
    server?.kill();
    for (const namespace of [here, there]) ip(`netns del ${namespace}`);
  }
}

function ip(words) {
  execFileSync('ip', words.split(' '), { stdio: ['ignore', 'ignore', 'inherit'] });
}
