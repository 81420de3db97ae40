// The kernel with other settings than its own: without timestamps, SACK or window scaling, with SYN cookies and ECN,
// with other congestion controllers; and paths that lose packets.

import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { describe, test } from 'node:test';
import { type BedOptions, skip, withBed } from './bed.ts';
import { connectPair, exchange, ROLES, streamCounters, twoSubflows } from './cell.ts';

const MIB = 1024 * 1024;
const MANY = 'mptcp limits set subflows 8 add_addr_accepted 8';

interface Setting {
  readonly title: string;
  readonly bed: BedOptions;
  readonly congestion?: string;
  /** A file without which this kernel has no such setting. */
  readonly needs?: string;
}

const sysctl = (name: string, value: number | string): BedOptions => ({
  sysctls: { [`net.ipv4.${name}`]: value },
});
const settings: readonly Setting[] = [
  { title: 'the kernel without timestamps', bed: sysctl('tcp_timestamps', 0) },
  { title: 'the kernel without SACK', bed: sysctl('tcp_sack', 0) },
  { title: 'the kernel without window scaling', bed: sysctl('tcp_window_scaling', 0) },
  {
    title: 'the kernel without any of the three',
    bed: {
      sysctls: { 'net.ipv4.tcp_timestamps': 0, 'net.ipv4.tcp_sack': 0, 'net.ipv4.tcp_window_scaling': 0 },
    },
  },
  { title: 'the kernel with ECN', bed: sysctl('tcp_ecn', 1) },
  { title: 'the kernel with small buffers', bed: sysctl('tcp_rmem', '4096 16384 32768') },
  {
    title: 'SYN cookies always',
    bed: sysctl('tcp_syncookies', 2),
    needs: '/proc/sys/net/ipv4/tcp_syncookies',
  },
  { title: 'Reno at the kernel', bed: {}, congestion: 'reno' },
  { title: 'BBR at the kernel', bed: {}, congestion: 'bbr' },
  { title: 'we with ECN', bed: { config: { ecn: 'on' } } },
  { title: 'we without timestamps', bed: { config: { timestamps: false } } },
  { title: 'we without SACK', bed: { config: { sack: false } } },
  { title: 'we with Reno', bed: { config: { congestion: 'reno' } } },
];

for (const role of ROLES) {
  describe(role, { skip }, () => {
    for (const { title, bed: options, congestion, needs } of settings) {
      const missing = needs !== undefined && !existsSync(needs) && `the kernel has no ${needs}`;
      for (const checksum of [false, true]) {
        test(`${title}, checksum ${checksum ? 'on' : 'off'}`, { skip: missing }, () =>
          withBed({ ...options, config: { ...options.config, checksum } }, async bed => {
            const socket = congestion === undefined ? {} : { congestion };
            const pair = await connectPair(bed, { role, socket });
            await exchange(pair, 2 * MIB);
            assert.equal(await pair.flow.closed(), null);
            await bed.assertCounters(streamCounters(role));
          }),
        );
      }
    }

    for (const subflows of [1, 2]) {
      for (const sack of [true, false]) {
        test(`every hundredth packet is lost, ${subflows} subflow(s), ${sack ? 'with' : 'without'} SACK`, () =>
          withBed(
            {
              devices: 2,
              offload: false,
              ip: [MANY],
              sysctls: { 'net.ipv4.tcp_sack': sack ? 1 : 0 },
            },
            async bed => {
              const pair =
                subflows === 1 ? await connectPair(bed, { role }) : await twoSubflows(bed, role, true);
              const seen = { out: 0, in: 0 };
              bed.middlebox = outbound =>
                (outbound ? ++seen.out * 37 : ++seen.in * 41) % 100 !== (outbound ? 3 : 5);
              await exchange(pair, MIB);
            },
          ));
      }
    }
  });
}
