// The TUN link by itself: what it says when something is missing, several addresses and devices, offload both ways,
// captures that tcpdump can read.

import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { Capture, type Link, Tun } from '../../src/link/index.ts';
import { skip, withBed } from './bed.ts';
import { connectPair, exchange } from './cell.ts';

const link: string = fileURLToPath(new URL('../../src/link/index.js', import.meta.url));

describe('the TUN device', { skip }, () => {
  test('without the right to it: one error that says what is missing', () => {
    // Built files may lie where a user without rights cannot read them, so the rights are given up after loading.
    const script = `
      const { Tun } = await import('${link}');
      process.setgroups([]); process.setgid(65534); process.setuid(65534);
      try { new Tun({ name: 'mtdenied' }); } catch (error) { console.log(error.code + ' ' + error.message); }`;
    const { stdout } = spawnSync(process.execPath, ['--no-warnings', '--input-type=module', '-e', script]);
    assert.match(stdout.toString(), /^(EPERM|EACCES) .*CAP_NET_ADMIN/);
  });

  test('a name that cannot be, and a device that is no TUN', () => {
    assert.throws(() => new Tun({ name: 'a-name-of-more-than-15-bytes' }), { code: 'EINVAL' });
    assert.throws(() => new Tun({ name: 'lo' }), {
      code: 'EINVAL',
      message: /lo exists and is no TUN device/,
    });
  });

  test('a device in use', () => {
    const name = `mt${process.pid % 1_000_000}use`;
    const tun = new Tun({ name });
    try {
      assert.throws(() => new Tun({ name }), { code: 'EBUSY' });
      assert.throws(() => tun.link('10.9.9.9.9'), { code: 'EINVAL' });
      tun.link('10.9.9.9');
      assert.throws(() => tun.link('10.9.9.9'), { code: 'EADDRINUSE' });
    } finally {
      tun.close();
    }
    // It went with its last user.
    assert.throws(() => execFileSync('ip', ['link', 'show', name], { stdio: 'pipe' }));
  });

  test('closing twice, and sending when closed, do nothing', () => {
    const tun = new Tun({ name: `mt${process.pid % 1_000_000}end` });
    const one = tun.link('10.9.9.9');
    one.close();
    tun.close();
    one.send(new Uint8Array(100), 0, 100, 100);
    assert.equal(one.counters['refusedByKernel'], 1);
  });
});

describe('on one device', { skip }, () => {
  test('IPv4 and IPv6 addresses serve connections at the same time', () =>
    withBed({}, async bed => {
      const four = await connectPair(bed, { role: 'our client', family: 4 });
      const six = await connectPair(bed, { role: 'our client', family: 6 });
      await Promise.all([exchange(four, 500_000), exchange(six, 500_000)]);
    }));

  test('the kernel answers, and is answered, with super-segments where both have offload', () =>
    withBed({}, async bed => {
      const sizes = { out: 0, in: 0 };
      bed.middlebox = (outbound, bytes, offset) => {
        const length = (bytes[offset + 2] << 8) | bytes[offset + 3];
        if (outbound) sizes.out = Math.max(sizes.out, length);
        else sizes.in = Math.max(sizes.in, length);
        return true;
      };
      await exchange(await connectPair(bed, { role: 'our client' }), 4_000_000);
      assert.ok(sizes.out > 30_000 && sizes.in > 30_000, JSON.stringify(sizes));
    }));

  test('without offload no packet on the wire exceeds the MTU', () =>
    withBed({ offload: false }, async bed => {
      let most = 0;
      bed.middlebox = (outbound, bytes, offset) => {
        if (!outbound) most = Math.max(most, (bytes[offset + 2] << 8) | bytes[offset + 3]);
        return true;
      };
      await exchange(await connectPair(bed, { role: 'our client' }), 1_000_000);
      assert.ok(most <= 1500, `${most} bytes`);
    }));
});

const tcpdump: boolean = spawnSync('tcpdump', ['--version']).status === 0;
describe('a capture', { skip: tcpdump ? false : 'tcpdump is not installed' }, () => {
  test('with several interfaces is read by tcpdump', () => {
    const folder = mkdtempSync(join(tmpdir(), 'mptcp-capture-'));
    try {
      const chunks: Uint8Array[] = [];
      const capture = new Capture({ write: bytes => chunks.push(bytes), nowUs: () => 0 });
      const nothing: Link = {
        name: 'path',
        address: '10.0.0.1',
        mtu: 1500,
        gsoMax: 1500,
        checksumOffload: true,
        counters: {},
        attach: () => {},
        send: () => {},
        releasePort: () => {},
        close: () => {},
      };
      const links = [capture.record(nothing), capture.record({ ...nothing, address: '10.0.0.2' })];
      const syn = Buffer.from(
        '4500002800004000400600000a0000010a00000203e807d000000001000000005002ffff00000000',
        'hex',
      );
      for (const each of links) each.send(syn, 0, syn.length, 1460);
      writeFileSync(join(folder, 'capture.pcapng'), Buffer.concat(chunks));
      const text = execFileSync('tcpdump', ['-nr', join(folder, 'capture.pcapng')], {
        stdio: 'pipe',
      }).toString();
      assert.equal(text.match(/10\.0\.0\.1\.1000 > 10\.0\.0\.2\.2000: Flags \[S\]/g)?.length, 2, text);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
});
