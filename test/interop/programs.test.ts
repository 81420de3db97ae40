// Real programs on the kernel's side, made to use Multipath TCP by mptcpize: curl and iperf3 as clients, nginx and
// iperf3 as servers. The other iperf3 of a pair speaks plain TCP over the loopback interface, and we carry it.

import assert from 'node:assert/strict';
import { execFile, spawn, spawnSync } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, type TestContext, test } from 'node:test';
import { promisify } from 'node:util';
import { Command } from '../cli/process.ts';
import { type Bed, type BedOptions, skip, withBed } from './bed.ts';
import { eventually, subflows } from './cell.ts';
import { run as runNow } from './netns.ts';
import type { OurFlow } from './our-host.ts';

const run = promisify(execFile);
const BODY = randomBytes(8 * 1024 * 1024);
const IPERF_BYTES = 16 * 1024 * 1024;
/** What an iperf3 client says first on each connection. */
const COOKIE_BYTES = 37;

interface Setting {
  readonly family: 4 | 6;
  readonly checksum: boolean;
  readonly title: string;
  readonly bed: BedOptions;
}

const SETTINGS: readonly Setting[] = ([4, 6] as const).flatMap(family =>
  [false, true].map(checksum => ({
    family,
    checksum,
    title: `IPv${family}, checksum ${checksum ? 'on' : 'off'}`,
    bed: {
      devices: 2,
      ip: ['mptcp limits set subflows 8 add_addr_accepted 8'],
      config: { checksum },
    },
  })),
);

/** False when all of them are there, else which is not. */
function missing(...programs: string[]): string | false {
  if (skip !== false) return skip;
  const absent = programs.filter(program => spawnSync('which', [program]).status !== 0);
  return absent.length > 0 && `not installed: ${absent.join(', ')}`;
}

describe('curl under mptcpize', { skip: missing('curl', 'mptcpize') }, () => {
  for (const { family, title, bed: options } of SETTINGS) {
    test(`${title}: gets a page of ours, over one path and over two`, () =>
      withBed(options, async bed => {
        const listener = bed.ours.listen({ port: 8080, advertise: [{ address: bed.ourAddress(1, family) }] });
        const fetching = curl(bed, family);
        const flow = await listener.accept();
        await head(flow);
        await subflows(flow, 2);
        await flow.write(Buffer.from(`HTTP/1.1 200 OK\r\nContent-Length: ${BODY.length}\r\n\r\n`));
        await flow.write(BODY);
        flow.shutdown();
        assert.equal(sha256((await fetching).stdout), sha256(BODY));
        assert.equal(flow.multipath().fallback, null);
        await assertConnected(bed, 'at our server', 1);
      }));

    test(`${title}: sends us a file`, () =>
      withBed(options, async bed => {
        const folder = mkdtempSync(join(tmpdir(), 'mptcp-curl-'));
        try {
          const file = join(folder, 'body');
          writeFileSync(file, BODY);
          const advertise = [{ address: bed.ourAddress(1, family) }];
          const listener = bed.ours.listen({ port: 8080, advertise });
          const sending = curl(bed, family, '-H', 'Expect:', '--data-binary', `@${file}`);
          const flow = await listener.accept();
          const parts = [await head(flow)];
          for (let length = parts[0].length; length < BODY.length; length += parts[parts.length - 1].length) {
            parts.push(await flow.readSome());
          }
          const answer = sha256(Buffer.concat(parts));
          await flow.write(
            Buffer.from(`HTTP/1.1 200 OK\r\nContent-Length: ${answer.length}\r\n\r\n${answer}`),
          );
          flow.shutdown();
          assert.equal((await sending).stdout.toString(), sha256(BODY));
          assert.equal(flow.multipath().fallback, null);
          await assertConnected(bed, 'at our server', 1);
        } finally {
          rmSync(folder, { recursive: true });
        }
      }));
  }
});

describe('nginx under mptcpize', { skip: missing('nginx', 'mptcpize') }, () => {
  for (const { family, title, bed: options } of SETTINGS) {
    test(`${title}: gives us a page, over one path and over two`, () =>
      withBed(options, async bed => {
        const folder = mkdtempSync(join(tmpdir(), 'mptcp-nginx-'));
        writeFileSync(join(folder, 'page'), BODY, { mode: 0o644 });
        writeFileSync(
          join(folder, 'nginx.conf'),
          `daemon off; master_process off; pid ${folder}/pid; error_log stderr; events {}
           http { access_log off; server { listen 0.0.0.0:8080; listen [::]:8080; root ${folder}; } }`,
        );
        const nginx = spawn('ip', inside(bed, 'mptcpize', 'run', 'nginx', '-c', `${folder}/nginx.conf`), {
          stdio: 'ignore',
        });
        try {
          const flow = await connectWhenUp(bed, family);
          await flow.write(Buffer.from('GET /page HTTP/1.1\r\nHost: bed\r\nConnection: close\r\n\r\n'));
          const answer = await flow.readAll();
          assert.equal(sha256(answer.subarray(answer.indexOf('\r\n\r\n') + 4)), sha256(BODY));
          assert.equal(flow.multipath().fallback, null);
          await assertConnected(bed, 'at our client', 1);
        } finally {
          nginx.kill();
          rmSync(folder, { recursive: true });
        }
      }));
  }
});

describe('iperf3 under mptcpize', { skip: missing('iperf3', 'mptcpize') }, () => {
  for (const { family, title, bed: options } of SETTINGS) {
    for (const reverse of [false, true]) {
      const direction = reverse ? 'receives' : 'sends';
      test(`${title}: a client, carried on by our server, ${direction}`, t =>
        withBed(options, async bed => {
          const behind = await iperfServer(t, 0);
          const listener = bed.ours.listen({ port: 80, advertise: [{ address: bed.ourAddress(1, family) }] });
          const carried: Carried[] = [];
          const serve = async (): Promise<never> => {
            for (;;) carried.push(carry(await listener.accept(), connect(behind, '127.0.0.1')));
          };
          void serve();
          const target = ['-c', bed.ourAddress(0, family), '-p', '80'];
          const client = inside(bed, 'mptcpize', 'run', 'iperf3', ...target, ...amount(reverse));
          const result = await iperfResult('ip', client);
          await Promise.all(carried.map(({ ended }) => ended));
          // The first connection is iperf3's own, the second carries the data.
          assert.equal(carried.length, 2);
          const { bytes } = carried[1];
          assertVolume(carried[1], reverse ? bytes.out : bytes.in - COOKIE_BYTES, result);
          await assertConnected(bed, 'at our server', 2);
        }));

      test(`${title}: a server, reached by our client, which ${direction}`, t =>
        withBed(options, async bed => {
          const at = await iperfServer(t, 5201, inside(bed, 'mptcpize', 'run'));
          const carried: Carried[] = [];
          const door = createServer({ allowHalfOpen: true }, socket => {
            const flow = bed.ours.connect({
              remote: { address: bed.kernelAddress(0, family), port: at },
              paths: bed.interfaces(family).map(interfaceId => ({ interfaceId })),
            });
            carried.push(carry(flow, socket));
          });
          t.after(() => door.close());
          const target = ['-c', '127.0.0.1', '-p', `${await open(door)}`];
          const result = await iperfResult('iperf3', [...target, ...amount(reverse)]);
          // A server that has hung up on data which its kernel has not merged yet leaves the kernel with it, and a
          // closed window for a minute: both programs have said what they counted, so the rest is cut off.
          if (!reverse) for (const { flow } of carried) flow.abort();
          await Promise.all(carried.map(({ ended }) => ended));
          assert.equal(carried.length, 2);
          const { bytes } = carried[1];
          assertVolume(carried[1], reverse ? bytes.in : bytes.out - COOKIE_BYTES, result);
          await assertConnected(bed, 'at our client', 2);
        }));
    }
  }
});

/** A connection of ours with one of the system's behind it. */
interface Carried {
  readonly bytes: { in: number; out: number };
  readonly flow: OurFlow;
  readonly ended: Promise<unknown>;
}

/**
 * Carries bytes both ways until both have ended. An iperf3 server hangs up on data that has not reached it when its
 * client has had enough: what still comes for it then is read and dropped.
 */
function carry(flow: OurFlow, socket: Socket): Carried {
  const bytes = { in: 0, out: 0 };
  const gone = once(socket, 'close').catch(() => {});
  const inwards = async (): Promise<void> => {
    for (let part = await flow.readSome(); part.length > 0; part = await flow.readSome()) {
      bytes.in += part.length;
      if (!socket.write(part)) await Promise.race([once(socket, 'drain').catch(() => {}), gone]);
    }
    socket.end();
  };
  const outwards = async (): Promise<void> => {
    for await (const part of socket as AsyncIterable<Buffer>) {
      await flow.write(part);
      bytes.out += part.length;
    }
    flow.shutdown();
  };
  return { bytes, flow, ended: Promise.allSettled([inwards(), outwards().catch(() => flow.shutdown())]) };
}

function amount(reverse: boolean): string[] {
  return ['-n', `${IPERF_BYTES}`, '-J', ...(reverse ? ['-R'] : [])];
}

/** Starts a server for one client; resolves to its port once it listens. */
async function iperfServer(t: TestContext, port: number, before: string[] = []): Promise<number> {
  const at = port === 0 ? await freePort() : port;
  const program = before.length === 0 ? ['iperf3'] : ['ip', ...before, 'iperf3'];
  const server = new Command(t, ['-s', '-1', '-p', `${at}`, '--forceflush'], program);
  await server.until(/Server listening/);
  return at;
}

async function freePort(): Promise<number> {
  const server = createServer();
  const port = await open(server);
  server.close();
  await once(server, 'close');
  return port;
}

async function open(server: Server): Promise<number> {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return (server.address() as AddressInfo).port;
}

interface IperfResult {
  readonly sum_sent: { bytes: number };
  readonly sum_received: { bytes: number };
}

/** Runs a client; resolves to what both ends say, whichever sent. */
async function iperfResult(program: string, parameters: string[]): Promise<IperfResult> {
  const { stdout } = await run(program, parameters, { encoding: 'utf8', maxBuffer: 1 << 24 });
  const { end, error } = JSON.parse(stdout) as { end: IperfResult; error?: string };
  assert.equal(error, undefined);
  return end;
}

/** What arrived has come through us, and it was MPTCP. */
function assertVolume({ flow }: Carried, carried: number, result: IperfResult): void {
  assert.ok(result.sum_sent.bytes >= IPERF_BYTES);
  assert.ok(carried <= result.sum_sent.bytes && carried >= result.sum_received.bytes, `${carried} carried`);
  assert.equal(flow.multipath().fallback, null);
}

/** So many MPTCP connections, each with two subflows, and none that became TCP. */
async function assertConnected(
  bed: Bed,
  where: 'at our client' | 'at our server',
  count: number,
): Promise<void> {
  const moved = await bed.moved();
  const names =
    where === 'at our client'
      ? ['MPCapableSYNRX', 'MPCapableACKRX', 'MPJoinAckRx']
      : ['MPCapableSYNTX', 'MPCapableSYNACKRX', 'MPJoinSynAckRx'];
  for (const name of names) assert.equal(moved[name], count, name);
  const fallbacks = Object.keys(moved).filter(name => name.includes('Fallback'));
  assert.deepEqual(fallbacks, []);
}

function inside(bed: Bed, ...command: string[]): string[] {
  return ['netns', 'exec', bed.namespace, ...command];
}

function curl(bed: Bed, family: 4 | 6, ...parameters: string[]): Promise<{ stdout: Buffer }> {
  const host = family === 4 ? bed.ourAddress(0) : `[${bed.ourAddress(0, 6)}]`;
  const command = ['mptcpize', 'run', 'curl', '-sS', ...parameters, `http://${host}:8080/`];
  return run('ip', inside(bed, ...command), { encoding: 'buffer', maxBuffer: 2 * BODY.length });
}

/** Reads the head of a request; returns what came behind it. */
async function head(flow: OurFlow): Promise<Buffer> {
  let text = Buffer.alloc(0);
  while (!text.includes('\r\n\r\n')) text = Buffer.concat([text, await flow.readSome()]);
  return text.subarray(text.indexOf('\r\n\r\n') + 4);
}

/** Not before nginx listens: a SYN that is refused while the plain one beside it is not is a fallback. */
async function connectWhenUp(bed: Bed, family: 4 | 6): Promise<OurFlow> {
  await eventually(() =>
    runNow('ip', inside(bed, 'ss', '-Hltn', 'sport = :8080')).includes(family === 4 ? '0.0.0.0' : '['),
  );
  const flow = bed.ours.connect({
    remote: { address: bed.kernelAddress(0, family), port: 8080 },
    paths: bed.interfaces(family).map(interfaceId => ({ interfaceId })),
  });
  await flow.connected();
  return flow;
}

function sha256(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}
