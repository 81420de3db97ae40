// `npm run bench [-- PART…] [--save]`: what the codecs, the core, the loopback, the kernel's sockets and a TUN device
// carry, as tables of Markdown. The parts are `codecs`, `core`, `loopback`, `kernel`, `tun`, `linux` and `sharing`; all of
// them unless some are named. `kernel` and `tun` need root; `kernel` takes two minutes, `tun` seven. `linux` and `sharing`
// compare with figures of Linux that are kept (bench/linux) and take three and two.
//
// With --save the tables also go to bench/RESULTS.md, in place of what stood there of the same parts, so that later
// work can be compared with them. Absolute numbers are those of the machine; ratios within one run are not.

import { readFileSync, writeFileSync } from 'node:fs';
import { cpus } from 'node:os';
import { parseArgs } from 'node:util';
import { benchCore } from './core.ts';
import { benchKernel, type Ratio } from './kernel.ts';
import { compareWithLinux } from './linux/report.ts';
import { compareShares } from './linux/sharing-report.ts';
import type { Measurement } from './measure.ts';
import { benchTun } from './tun.ts';
import { benchUdp } from './udp.ts';
import { benchWire } from './wire.ts';

type Row = readonly (string | number)[];

/** By their names, in the order of the file: measures and gives its paragraphs, undefined when it cannot. */
const parts: Readonly<Record<string, () => Promise<string[] | undefined>>> = {
  codecs: async () => [table(['what', 'ns', 'bytes allocated'], benchWire().map(measured))],
  core: async () => {
    const core = await benchCore();
    return [
      'Two hosts and the memory link in one process: both ends of a transfer together, acknowledgements included.',
      table(
        ['what', 'payload bytes', 'ns a segment', 'bytes allocated a segment', 'packets a second', 'Gbit/s'],
        core.map(row => [
          row.name,
          row.payloadBytes,
          row.nsPerSegment,
          Number.isNaN(row.bytesPerSegment) ? 'not measured' : row.bytesPerSegment,
          row.packetsPerSecond,
          row.gbitPerSecond,
        ]),
      ),
    ];
  },
  loopback: async () => {
    const udp = await benchUdp();
    return [
      `A connection of this package over the udp link beside one of node:net, medians of ${udp.runs} runs in turn.`,
      table(
        ['what', 'Mbit/s', 'sender CPU seconds a GB'],
        [
          ['node:net TCP', Math.round(udp.netMbps), udp.netCpuSecondsPerGB.toFixed(2)],
          ['mptcp over udp', Math.round(udp.udpMbps), udp.udpCpuSecondsPerGB.toFixed(2)],
          ['ratio', udp.ratio.toFixed(3), ''],
        ],
      ),
      `The udp link with Node's dgram allocates ${Math.round(udp.heapBytesPerDatagram)} bytes a datagram, ` +
        'sent and received in one process.',
    ];
  },
  kernel: async () => {
    const kernel = await benchKernel();
    if (typeof kernel === 'string') {
      console.log(`kernel was left out: ${kernel}\n`);
      return undefined;
    }
    return [
      `A server and a client over the loopback of a network namespace, ${kernel.congestionControl} pinned there; ` +
        `${(kernel.bytes / 1e9).toFixed(2)} GB a transfer, medians of ${kernel.rounds} rounds in which all take turns. CPU ` +
        'is that of both processes together.',
      table(
        ['what', 'Gbit/s', 'CPU seconds a GB'],
        kernel.rows.map(row => [row.name, row.gbitPerSecond.toFixed(1), row.cpuSecondsPerGB.toFixed(3)]),
      ),
      'Ratios within a round to `mptcpize run node`, their median, and the interval that holds the true median.',
      table(
        ['what', 'throughput', 'CPU a GB'],
        [
          ["backend: 'kernel'", ratioText(kernel.throughput), ratioText(kernel.cpu)],
          ['plain TCP', ratioText(kernel.plainThroughput), ratioText(kernel.plainCpu)],
        ],
      ),
    ];
  },
  tun: async () => {
    const tun = await benchTun();
    if (typeof tun === 'string') {
      console.log(`tun was left out: ${tun}\n`);
      return undefined;
    }
    return [
      'Multipath TCP over a TUN device with the kernel at the other end, and the kernel with itself. The dumb endpoint ' +
        'only moves the bytes (bench/dumb.ts): it is what JavaScript could reach at most. MTU 1,500; CUBIC at both ' +
        `ends; medians of ${tun.rounds} rounds in which all take turns, ${tun.secondsEach} s each; ratios are medians of ` +
        'the ratios within a round. CPU is that of our end, where the kernel does part of its own work too.',
      table(
        ['what', 'Gbit/s', 'CPU seconds a GB', 'of the dumb endpoint', 'of the kernel', 'of one subflow'],
        tun.rows.map(row => [
          row.name,
          row.gbitPerSecond.toFixed(1),
          row.cpuSecondsPerGB?.toFixed(2) ?? '',
          row.ofDumb?.toFixed(2) ?? '',
          row.ofKernel?.toFixed(2) ?? '',
          row.ofOneSubflow?.toFixed(2) ?? '',
        ]),
      ),
    ];
  },
  linux: async () => {
    const { paragraphs, head, rows } = compareWithLinux();
    return [...paragraphs, table(head, rows)];
  },
  sharing: async () => {
    const { ours, sideBySide } = compareShares();
    return [ours, sideBySide].flatMap(({ paragraphs, head, rows }) => [...paragraphs, table(head, rows)]);
  },
};

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { save: { type: 'boolean', default: false } },
});
const unknown = positionals.find(name => !(name in parts));
if (unknown !== undefined) {
  console.error(`there is no part "${unknown}": ${Object.keys(parts).join(', ')}`);
  process.exit(2);
}
const machine = `Node ${process.version} on ${cpus()[0]?.model ?? 'an unknown processor'}, ${cpus().length} cores.`;
const results = new URL('../../bench/RESULTS.md', import.meta.url);
const sections = savedSections(readFileSync(results, 'utf8'));
for (const [name, measure] of Object.entries(parts)) {
  if (positionals.length > 0 && !positionals.includes(name)) continue;
  const paragraphs = await measure();
  if (paragraphs === undefined) continue;
  const text = [`## ${heading(name)}`, machine, ...paragraphs].join('\n\n');
  console.log(`${text}\n`);
  sections.set(name, text);
}
if (values.save) {
  const ordered = Object.keys(parts).flatMap(name => sections.get(name) ?? []);
  const head = '# Results\n\nWritten by `npm run bench -- --save`.';
  writeFileSync(results, `${[head, ...ordered].join('\n\n')}\n`);
}

/** What the file holds, by part. */
function savedSections(text: string): Map<string, string> {
  const found = new Map<string, string>();
  for (const name of Object.keys(parts)) {
    const section = text.split(/\n+(?=## )/).find(piece => piece.startsWith(`## ${heading(name)}\n`));
    if (section !== undefined) found.set(name, section.trimEnd());
  }
  return found;
}

function heading(part: string): string {
  return part === 'tun' ? 'TUN' : part[0].toUpperCase() + part.slice(1);
}

function ratioText({ median, low, high, confidence }: Ratio): string {
  const interval = `${low.toFixed(3)} to ${high.toFixed(3)} with ${(confidence * 100).toFixed(1)} %`;
  return `${median.toFixed(3)} (${interval})`;
}

function measured({ name, nsPerOp, bytesPerOp }: Measurement): Row {
  return [name, nsPerOp, bytesPerOp];
}

/** First column to the left, numbers to the right. */
function table(head: readonly string[], rows: readonly Row[]): string {
  const lines = [head, head.map((_, index) => (index === 0 ? '---' : '---:')), ...rows];
  return lines.map(row => `| ${row.join(' | ')} |`).join('\n');
}
