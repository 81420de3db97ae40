// `--pcap FILE`: what the commands leave in a file, read back, and by tcpdump where there is one.

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdtempSync, readdirSync, readlinkSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { connect, createServer, type Socket } from '../../src/api/index.ts';
import { drawWorld, replayPlan } from '../../src/sim/index.ts';
import { verifyChecksum } from '../../src/wire/index.ts';
import { readCapture, streamOf } from './capture.ts';
import { Command, runCommand } from './process.ts';

const folder: string = mkdtempSync(join(tmpdir(), 'mptcp-pcap-'));
after(() => rmSync(folder, { recursive: true, force: true }));

test('listen and connect record both directions, as TCP with checksums', async t => {
  const question = randomBytes(300_000);
  const answer = randomBytes(70_001);
  const atListener = join(folder, 'listener.pcapng');
  const atConnector = join(folder, 'connector.pcapng');
  const listener = new Command(t, ['listen', '0', '127.0.0.1', '--pcap', atListener]);
  listener.child.stdin?.end(answer);
  const [, port = ''] = await listener.until(/listening on 127\.0\.0\.1:(\d+)/);
  const paths = ['--path', '127.0.0.1', '--pcap', atConnector];
  const connector = new Command(t, ['connect', '127.0.0.1', port, ...paths]);
  connector.child.stdin?.end(question);
  const [there, here] = await Promise.all([listener.ended, connector.ended]);
  assert.deepEqual([there.code, here.code], [0, 0], there.stderr + here.stderr);

  const startedUs = (Date.now() - 600_000) * 1000;
  const client = readCapture(atConnector);
  assert.deepEqual(client.interfaces, [`127.0.0.1 to 127.0.0.1:${port}`]);
  const server = readCapture(atListener);
  assert.deepEqual(server.interfaces, ['127.0.0.1']);
  for (const [capture, question1, answer1] of [
    [client, false, true],
    [server, true, false],
  ] as const) {
    const asked = streamOf(capture.packets.filter(({ inbound }) => inbound === question1));
    const answered = streamOf(capture.packets.filter(({ inbound }) => inbound === answer1));
    assert.ok(asked.equals(question), `${asked.length} bytes of the question`);
    assert.ok(answered.equals(answer), `${answered.length} bytes of the answer`);
    for (const { timeUs } of capture.packets) assert.ok(timeUs > startedUs);
  }
  if (spawnSync('tcpdump', ['--version']).status !== 0) return t.diagnostic('tcpdump is not installed');
  const read = spawnSync('tcpdump', ['-nr', atConnector], { maxBuffer: 1 << 26 }).stdout.toString();
  const syn = new RegExp(
    `^\\S+ IP 127\\.0\\.0\\.1\\.\\d+ > 127\\.0\\.0\\.1\\.${port}: Flags \\[S\\].*mptcp`,
    'm',
  );
  assert.match(read, syn);
});

const oneLoopback = process.platform !== 'linux' && '127.0.0.2 is an address on Linux only';
test('one interface a path', { skip: oneLoopback }, async t => {
  const file = join(folder, 'paths.pcapng');
  const listener = new Command(t, ['listen', '0', '127.0.0.1']);
  const [, port = ''] = await listener.until(/listening on 127\.0\.0\.1:(\d+)/);
  const paths = ['--path', '127.0.0.1', '--path', '127.0.0.2'];
  const connector = new Command(t, ['connect', '127.0.0.1', port, ...paths, '--pcap', file]);
  await connector.until(/path 127\.0\.0\.2 .* joined/);
  listener.child.stdin?.end('bye');
  connector.child.stdin?.end();
  assert.equal((await connector.ended).code, 0);
  const { interfaces, packets } = readCapture(file);
  const names = [1, 2].map(last => `127.0.0.${last} to 127.0.0.1:${port}`);
  assert.deepEqual(interfaces, names);
  const local = (packet: { inbound: boolean; bytes: Uint8Array }) => packet.bytes[packet.inbound ? 19 : 15];
  for (const packet of packets) assert.equal(local(packet), packet.interfaceNumber + 1);
});

test('the demo records the paths of its client', async t => {
  const file = join(folder, 'demo.pcapng');
  const { code, stderr } = await runCommand(t, [
    'demo',
    '--size',
    '1',
    '--cut',
    'none',
    '--pcap',
    file,
    '--json',
  ]);
  assert.equal(code, 0, stderr);
  const { interfaces, packets } = readCapture(file);
  assert.equal(interfaces.length, 2, interfaces.join(', '));
  assert.deepEqual([...new Set(packets.map(packet => packet.interfaceNumber))].sort(), [0, 1]);
});

test('the simulator records what its trace tells, one interface a path, in virtual time', async t => {
  const file = join(folder, 'world.pcapng');
  const { seed, paths } = worldThatLoses();
  const { code, stdout, stderr } = await runCommand(t, [
    'sim',
    '--from',
    `${seed}`,
    '--trace',
    '--pcap',
    file,
  ]);
  assert.equal(code, 0, stderr);
  const told = [...stdout.toString().matchAll(TRACE_LINE)].map(([, ms, path, arrow, fate]) => ({
    timeUs: Number(ms) * 1000,
    text: `${path} ${arrow} ${fate === 'lost' ? 'lost' : 'arrives'}`,
  }));
  const { interfaces, packets } = readCapture(file);
  assert.deepEqual(interfaces, paths);
  const recorded = packets.map(({ interfaceNumber, inbound, comment }) => {
    const fate = comment.startsWith('lost') ? 'lost' : 'arrives';
    return `${paths[interfaceNumber]} ${inbound ? '<' : '>'} ${fate}`;
  });
  assert.deepEqual(
    recorded,
    told.map(({ text }) => text),
  );
  for (const [i, { timeUs, bytes }] of packets.entries()) {
    assert.ok(Math.abs(timeUs - told[i].timeUs) <= 1, `${timeUs} µs, not ${told[i].timeUs}`);
    assert.ok(verifyChecksum(bytes, 0, bytes.length), 'with a right checksum');
  }
  if (spawnSync('tcpdump', ['--version']).status !== 0) return t.diagnostic('tcpdump is not installed');
  const read = spawnSync('tcpdump', ['-nr', file], { maxBuffer: 1 << 26 }).stdout.toString();
  assert.equal(read.match(/^\S+ IP6? .*Flags/gm)?.length, packets.length);
});

const TRACE_LINE = /^ *(\d+\.\d+) (p\d+) ([<>]) .* (?:(lost)|→ \d+\.\d+)(?: \[.*)?$/gm;

/** The first world in which some packets are lost and none is changed on the way, and the names of its paths. */
function worldThatLoses(): { seed: number; paths: string[] } {
  for (let seed = 1; ; seed++) {
    const plan = drawWorld(seed);
    if (plan.paths.some(({ middleboxes }) => middleboxes.length > 0)) continue;
    let lost = false;
    replayPlan(plan, {
      trace: line => {
        lost ||= / lost( \[[a-z ]*\])?$/.test(line);
      },
    });
    if (lost) return { seed, paths: plan.paths.map(path => path.name) };
  }
}

for (const args of [
  ['sim', '--from', '1'],
  ['listen', '0', '127.0.0.1'],
  ['connect', '127.0.0.1', '9'],
  ['demo', '--size', '1'],
]) {
  test(`mptcp ${args[0]}: a file that cannot be written is one line and exit code 2`, async t => {
    const file = join(folder, 'no', 'such', 'folder');
    const { code, stderr } = await runCommand(t, [...args, '--pcap', file]);
    assert.match(stderr, /^mptcp \w+: cannot write [^\n]*no\/such\/folder[^\n]*\n$/);
    assert.equal(code, 2);
  });
}

test('connect and createServer of one process record into the same file, which is closed in the end', {
  timeout: 60_000,
}, async () => {
  const pcap = join(folder, 'api.pcapng');
  const config = { subflowTimeWaitMs: 10, timeWaitMs: 10 };
  const server = createServer({ pcap, config }, (socket: Socket) => socket.end('hello'));
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as { port: number };
  const socket = connect({ port, host: '127.0.0.1', pcap, config });
  socket.resume();
  await new Promise(resolve => socket.once('close', resolve));
  server.close();
  const { interfaces, packets } = readCapture(pcap);
  assert.deepEqual([...interfaces].sort(), ['127.0.0.1', `127.0.0.1 to 127.0.0.1:${port}`]);
  // Each packet twice: as it leaves one end, as it reaches the other.
  const syns = packets.filter(({ bytes }) => bytes[33] === 2).slice(0, 2);
  assert.deepEqual(
    syns.map(({ inbound }) => inbound),
    [false, true],
  );
  if (process.platform !== 'linux') return;
  // Nothing tells of it: it is looked for until the test's time is over.
  while (openFiles().includes(pcap)) await new Promise(resolve => setTimeout(resolve, 20));
});

function openFiles(): string[] {
  return readdirSync('/proc/self/fd').flatMap(fd => {
    try {
      return [readlinkSync(`/proc/self/fd/${fd}`)];
    } catch {
      return [];
    }
  });
}
