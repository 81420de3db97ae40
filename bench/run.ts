// `npm run bench [-- --save]`: what the codecs, the core and the loopback carry, as tables of Markdown.
//
// With --save the tables also go to bench/RESULTS.md, so that later work can be compared with them. Absolute
// numbers are those of the machine; the ratio to node:net in the same run is not.

import { writeFileSync } from 'node:fs';
import { cpus } from 'node:os';
import { benchCore } from './core.ts';
import type { Measurement } from './measure.ts';
import { benchUdp } from './udp.ts';
import { benchWire } from './wire.ts';

type Row = readonly (string | number)[];

const sections: string[] = [];
report(
  `Measured with Node ${process.version} on ${cpus()[0]?.model ?? 'an unknown processor'}, ${cpus().length} cores.`,
);

report('## Codecs', table(['what', 'ns', 'bytes allocated'], benchWire().map(measured)));

const core = await benchCore();
report(
  '## Core',
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
);

const udp = await benchUdp();
report(
  '## Loopback',
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
);

if (process.argv.includes('--save')) {
  const head = '# Results\n\nWritten by `npm run bench -- --save`.';
  writeFileSync(new URL('../../bench/RESULTS.md', import.meta.url), `${[head, ...sections].join('\n\n')}\n`);
}

function report(...paragraphs: string[]): void {
  sections.push(...paragraphs);
  console.log(`${paragraphs.join('\n\n')}\n`);
}

function measured({ name, nsPerOp, bytesPerOp }: Measurement): Row {
  return [name, nsPerOp, bytesPerOp];
}

/** First column to the left, numbers to the right. */
function table(head: readonly string[], rows: readonly Row[]): string {
  const lines = [head, head.map((_, index) => (index === 0 ? '---' : '---:')), ...rows];
  return lines.map(row => `| ${row.join(' | ')} |`).join('\n');
}
