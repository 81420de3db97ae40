// Loopback goodput of a connection over the udp link, beside node:net TCP in the same run, and what a
// datagram costs in allocated bytes on the way through the link (Node's own buffers and callbacks included).
//
// The receiver is another process both times. Runs take turns and the median counts: this machine's speed
// cancels out of the ratio.

import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { connect as netConnect } from 'node:net';
import { PerformanceObserver } from 'node:perf_hooks';
import type { Duplex } from 'node:stream';
import { fileURLToPath } from 'node:url';
import { connect } from '../src/api/index.ts';
import { type Link, UdpLink } from '../src/link/index.ts';
import { encodeHeaders, Flag, headerLength, parseAddress, Segment } from '../src/wire/index.ts';
import { median } from './measure.ts';

/** What was measured. */
export interface UdpBench {
  readonly bytesPerRun: number;
  readonly runs: number;
  /** Medians, payload bits per second / 10^6. */
  readonly netMbps: number;
  readonly udpMbps: number;
  /** udp over net. */
  readonly ratio: number;
  /** CPU seconds of the sending process per 10^9 bytes. */
  readonly netCpuSecondsPerGB: number;
  readonly udpCpuSecondsPerGB: number;
  /** Heap bytes a datagram of 1,400 bytes costs, sent and received in one process. */
  readonly heapBytesPerDatagram: number;
}

/** Measures; takes about ten seconds. */
export async function benchUdp(options: { bytesPerRun?: number; runs?: number } = {}): Promise<UdpBench> {
  const bytesPerRun = options.bytesPerRun ?? 64 << 20;
  const runs = options.runs ?? 5;
  const child: ChildProcess = fork(fileURLToPath(new URL('./udp-sink.js', import.meta.url)));
  const [ports] = (await once(child, 'message')) as [{ net: number; udp: number }];
  const net: Run[] = [];
  const udp: Run[] = [];
  try {
    for (let i = 0; i <= runs; i++) {
      const overNet = await push(netConnect(ports.net, '127.0.0.1'), bytesPerRun);
      const overUdp = await push(connect(ports.udp, '127.0.0.1'), bytesPerRun);
      // The first of each warms up.
      if (i === 0) continue;
      net.push(overNet);
      udp.push(overUdp);
    }
  } finally {
    child.kill();
  }
  const netMbps = median(net.map(run => run.mbps));
  const udpMbps = median(udp.map(run => run.mbps));
  return {
    ...{ bytesPerRun, runs, netMbps, udpMbps, ratio: udpMbps / netMbps },
    netCpuSecondsPerGB: median(net.map(run => run.cpuSecondsPerGB)),
    udpCpuSecondsPerGB: median(udp.map(run => run.cpuSecondsPerGB)),
    heapBytesPerDatagram: await heapBytesPerDatagram(),
  };
}

interface Run {
  readonly mbps: number;
  readonly cpuSecondsPerGB: number;
}

/** Sends `bytes` and waits for the receiver's word that it has them all. */
async function push(socket: Duplex, bytes: number): Promise<Run> {
  await once(socket, 'connect');
  const chunk = Buffer.alloc(64 << 10, 'x');
  const cpu = process.cpuUsage();
  const started = performance.now();
  socket.resume();
  const ended = once(socket, 'end');
  for (let left = bytes; left > 0; left -= chunk.length) {
    if (!socket.write(chunk.subarray(0, Math.min(left, chunk.length)))) await once(socket, 'drain');
  }
  socket.end();
  // The receiver ends when it has read the end.
  await ended;
  const seconds = (performance.now() - started) / 1000;
  const { user, system } = process.cpuUsage(cpu);
  return { mbps: (bytes * 8) / seconds / 1e6, cpuSecondsPerGB: (user + system) / 1e6 / (bytes / 1e9) };
}

async function heapBytesPerDatagram(): Promise<number> {
  const [sender, receiver] = [new UdpLink({ address: '127.0.0.1' }), new UdpLink({ address: '127.0.0.1' })];
  let arrived = 0;
  const sink = (link: Link, packet: () => void) =>
    link.attach({ packet, mtuChanged: () => {}, refused: () => {} });
  sink(sender, () => {});
  sink(receiver, () => arrived++);
  const port = await receiver.openListener(0);
  const localPort = await sender.openFlow({ address: '127.0.0.1', port });
  const bytes = fullPacket(localPort, port);
  let collections = 0;
  const observer = new PerformanceObserver(list => {
    collections += list.getEntries().length;
  });
  observer.observe({ entryTypes: ['gc'] });
  const alive = setInterval(() => {}, 1000);
  const results: number[] = [];
  for (let round = 0; round < 60; round++) {
    globalThis.gc?.();
    await turns(2);
    collections = 0;
    const before = process.memoryUsage().heapUsed;
    const target = arrived + DATAGRAMS;
    for (let sent = 0; sent < DATAGRAMS; sent += BURST) {
      for (let i = 0; i < BURST; i++) sender.send(bytes, 0, bytes.length, 1348);
      await turns(1);
    }
    for (let i = 0; i < 100 && arrived < target; i++) await turns(1);
    const used = process.memoryUsage().heapUsed - before;
    await turns(2);
    if (round >= 20 && collections === 0 && arrived === target) results.push(used / DATAGRAMS);
    arrived = target;
  }
  clearInterval(alive);
  observer.disconnect();
  sender.close();
  receiver.close();
  return results.length === 0 ? Number.NaN : median(results);
}

function fullPacket(srcPort: number, dstPort: number): Uint8Array {
  const segment = new Segment();
  const words = new Int32Array(4);
  parseAddress('127.0.0.1', words);
  [segment.src0, segment.src1, segment.src2, segment.src3] = words;
  [segment.dst0, segment.dst1, segment.dst2, segment.dst3] = words;
  segment.srcPort = srcPort;
  segment.dstPort = dstPort;
  segment.flags = Flag.ACK;
  segment.hasTimestamps = true;
  segment.payloadLength = 1348;
  const out = new Uint8Array(headerLength(segment) + segment.payloadLength);
  encodeHeaders(segment, out, 0);
  return out;
}

async function turns(count: number): Promise<void> {
  for (let i = 0; i < count; i++) await new Promise<void>(resolve => setImmediate(resolve));
}

const DATAGRAMS = 2000;
const BURST = 50;
