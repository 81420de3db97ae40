// Real programs on the kernel's side, made to use Multipath TCP by mptcpize: curl as client, nginx as server.

import assert from 'node:assert/strict';
import { execFile, spawn, spawnSync } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { promisify } from 'node:util';
import { type Bed, skip, withBed } from './bed.ts';
import { subflows } from './cell.ts';
import type { OurFlow } from './our-host.ts';

const run = promisify(execFile);
const MANY = 'mptcp limits set subflows 8 add_addr_accepted 8';
const BODY = randomBytes(8 * 1024 * 1024);

/** False when all of them are there, else which is not. */
function missing(...programs: string[]): string | false {
  if (skip !== false) return skip;
  const absent = programs.filter(program => spawnSync('which', [program]).status !== 0);
  return absent.length > 0 && `not installed: ${absent.join(', ')}`;
}

describe('curl under mptcpize', { skip: missing('curl', 'mptcpize') }, () => {
  for (const family of [4, 6] as const) {
    test(`IPv${family}: gets a page of ours, over one path and over two`, () =>
      withBed({ devices: 2, ip: [MANY] }, async bed => {
        const listener = bed.ours.listen({ port: 8080, advertise: [{ address: bed.ourAddress(1, family) }] });
        const host = family === 4 ? bed.ourAddress(0) : `[${bed.ourAddress(0, 6)}]`;
        const fetching = inNamespace(bed, 'mptcpize', 'run', 'curl', '-sS', `http://${host}:8080/`);
        const flow = await listener.accept();
        await request(flow);
        await subflows(flow, 2);
        await flow.write(Buffer.from(`HTTP/1.1 200 OK\r\nContent-Length: ${BODY.length}\r\n\r\n`));
        await flow.write(BODY);
        flow.shutdown();
        assert.equal(sha256((await fetching).stdout), sha256(BODY));
      }));
  }
});

describe('nginx under mptcpize', { skip: missing('nginx', 'mptcpize') }, () => {
  test('gives us a page, over one path and over two', () =>
    withBed({ devices: 2, ip: [MANY] }, async bed => {
      const folder = mkdtempSync(join(tmpdir(), 'mptcp-nginx-'));
      writeFileSync(join(folder, 'page'), BODY, { mode: 0o644 });
      writeFileSync(
        join(folder, 'nginx.conf'),
        `daemon off; master_process off; pid ${folder}/pid; error_log stderr; events {}
         http { access_log off; server { listen 0.0.0.0:8080; root ${folder}; } }`,
      );
      const parameters = [
        'netns',
        'exec',
        bed.namespace,
        'mptcpize',
        'run',
        'nginx',
        '-c',
        `${folder}/nginx.conf`,
      ];
      const nginx = spawn('ip', parameters, { stdio: 'ignore' });
      try {
        const flow = await connectWhenUp(bed);
        await flow.write(Buffer.from('GET /page HTTP/1.1\r\nHost: bed\r\nConnection: close\r\n\r\n'));
        const answer = await flow.readAll();
        assert.equal(sha256(answer.subarray(answer.indexOf('\r\n\r\n') + 4)), sha256(BODY));
        assert.equal(flow.multipath().fallback, null);
        const { MPCapableSYNRX, MPJoinAckRx } = await bed.moved();
        assert.equal(MPCapableSYNRX, 1);
        assert.equal(MPJoinAckRx, 1);
      } finally {
        nginx.kill();
        rmSync(folder, { recursive: true });
      }
    }));
});

function inNamespace(bed: Bed, ...command: string[]): Promise<{ stdout: Buffer }> {
  const parameters = ['netns', 'exec', bed.namespace, ...command];
  return run('ip', parameters, { encoding: 'buffer', maxBuffer: 2 * BODY.length });
}

/** Reads the head of a request. */
async function request(flow: OurFlow): Promise<void> {
  let head = '';
  while (!head.includes('\r\n\r\n')) head += (await flow.readSome()).toString('latin1');
}

async function connectWhenUp(bed: Bed): Promise<OurFlow> {
  for (;;) {
    const flow = bed.ours.connect({
      remote: { address: bed.kernelAddress(), port: 8080 },
      paths: bed.interfaces4.map(interfaceId => ({ interfaceId })),
    });
    try {
      await flow.connected();
      return flow;
    } catch {
      await new Promise(resolve => setTimeout(resolve, 20));
    }
  }
}

function sha256(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}
