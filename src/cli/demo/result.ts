// What came of the demo: the object `--json` prints, and the same in words.
//
// `seconds` is the time from the first to the last delivered byte, `goodputMbps` the bytes over it and
// `capacityMbps` the bits the networks could have carried in it, IP headers included, an outage not counted.
// Before: conductor.ts. After: demo.ts prints it.

import type { Fallback, MessageOf } from './messages.ts';
import type { Network } from './networks.ts';

export interface DemoResult {
  intact: boolean;
  sha256: string;
  bytes: number;
  seconds: number;
  longestStallMs: number;
  goodputMbps: number;
  capacityMbps: number;
  paths: { name: string; bytes: number; rttMs: number; reinjectedBytes: number }[];
  fallback: Fallback;
}

/** A network was off; `untilMs` is Infinity while it is. */
export interface Outage {
  path: number;
  fromMs: number;
  untilMs: number;
}

interface Evidence {
  arrival: MessageOf<'received'>;
  departure: MessageOf<'sent'>;
  networks: readonly Network[];
  outages: readonly Outage[];
}

export function resultOf({ arrival, departure, networks, outages }: Evidence): DemoResult {
  const { firstMs, lastMs } = arrival;
  const spanMs = Math.max(lastMs - firstMs, 0.001);
  return {
    intact: arrival.sha256 === departure.sha256 && arrival.bytes === departure.bytes,
    sha256: arrival.sha256,
    bytes: arrival.bytes,
    seconds: rounded(spanMs / 1000, 3),
    longestStallMs: rounded(arrival.longestStallMs, 1),
    goodputMbps: rounded((arrival.bytes * 8) / spanMs / 1000, 2),
    capacityMbps: rounded(capacityBits({ networks, outages, firstMs, lastMs }) / spanMs / 1000, 2),
    paths: departure.paths.map(({ name, bytes, rttMs, reinjectedBytes }) => ({
      name,
      bytes,
      rttMs,
      reinjectedBytes,
    })),
    fallback: departure.fallback,
  };
}

/** The bits the networks could have carried between two times. */
export function capacityBits(scene: {
  networks: readonly Network[];
  outages: readonly Outage[];
  firstMs: number;
  lastMs: number;
}): number {
  const { networks, outages, firstMs, lastMs } = scene;
  return networks.reduce((sum, network, index) => {
    const downMs = outages
      .filter(outage => outage.path === index)
      .map(({ fromMs, untilMs }) => Math.min(untilMs, lastMs) - Math.max(fromMs, firstMs))
      .reduce((total, ms) => total + Math.max(ms, 0), 0);
    return sum + ((network.forward.rateBitsPerSecond ?? 0) * (lastMs - firstMs - downMs)) / 1000;
  }, 0);
}

export function resultLines(result: DemoResult): string[] {
  const share = Math.round((100 * result.goodputMbps) / result.capacityMbps);
  const rates = `${result.goodputMbps.toFixed(1)} Mbit/s of ${result.capacityMbps.toFixed(1)}`;
  const fallback = result.fallback
    ? `  fallback      plain TCP: ${result.fallback.cause} (seen by the ${result.fallback.seenBy} end)`
    : undefined;
  return [
    '',
    result.intact
      ? `Intact: ${megabytes(result.bytes)} arrived as they were sent`
      : 'NOT INTACT: what arrived is not what was sent',
    `  SHA-256       ${result.sha256}`,
    `  time          ${result.seconds.toFixed(1)} s from the first byte to the last`,
    `  goodput       ${rates} there were (${share} %)`,
    `  longest stall ${result.longestStallMs.toFixed(0)} ms without a delivered byte`,
    ...result.paths.map(
      path =>
        `  ${path.name.padEnd(13)} ${megabytes(path.bytes)} sent, ` +
        `${megabytes(path.reinjectedBytes)} of it again for the other path, RTT ${path.rttMs.toFixed(0)} ms`,
    ),
    ...(fallback ? [fallback] : []),
    '',
  ];
}

function megabytes(bytes: number): string {
  return `${(bytes / 1e6).toFixed(1)} MB`;
}

function rounded(value: number, digits: number): number {
  return Number(value.toFixed(digits));
}
