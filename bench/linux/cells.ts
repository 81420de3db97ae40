// What `bench -- linux` compares: one flow over one emulated link, in 36 cells of loss, round trip and queue, each with
// ten seeds. The seed decides which packets are lost, by their place on the wire, and it is the same places for Linux's
// TCP and ours.
//
// Next: kernel-runs.ts measures Linux in real time, own-runs.ts our stack in virtual time, comparison.ts puts the two
// side by side.

import { type PathOptions, Random } from '../../src/netmodel/index.ts';

export interface Cell {
  /** Part of the packets that is lost, of those on the way of the data. */
  readonly loss: number;
  readonly rttMs: number;
  /** In bandwidth-delay products. */
  readonly queue: number;
}

/** What is measured in each cell with each seed. */
export type Kind = 'bulk' | 'transfer';

export const RATE_BITS_PER_SECOND = 20_000_000;
/** A bulk flow counts for so long, from the moment it is connected. */
export const BULK_SECONDS = 20;
/** A short transfer counts from the call of connect to the arrival of its last byte. */
export const TRANSFER_BYTES = 65_536;
export const SEEDS: readonly number[] = Array.from({ length: 10 }, (_, i) => i + 1);

export const CELLS: readonly Cell[] = [0, 0.001, 0.01, 0.03].flatMap(loss =>
  [10, 50, 200].flatMap(rttMs => [0.5, 1, 4].map(queue => ({ loss, rttMs, queue }))),
);

export function cellName({ loss, rttMs, queue }: Cell): string {
  return `loss ${loss * 100} %, ${rttMs} ms, queue ${queue} BDP`;
}

/**
 * The link of a cell, each way. The handshake is spared: a lost SYN is a second, whoever waits for it. `extraRttMs`: what
 * the kernel's flows had to wait besides, for ours to wait as long.
 */
export function linkOf(
  cell: Cell,
  seed: number,
  extraRttMs: number = 0,
): { forward: PathOptions; backward: PathOptions } {
  const link: PathOptions = {
    rateBitsPerSecond: RATE_BITS_PER_SECOND,
    delayMs: (cell.rttMs + extraRttMs) / 2,
    queueBytes: (cell.queue * RATE_BITS_PER_SECOND * cell.rttMs) / 8000,
    mtu: 1500,
  };
  return { forward: { ...link, dropPackets: dropList(cell.loss, seed) }, backward: link };
}

/**
 * The link that two flows share in a cell, which nothing is lost on but by its queue. Each packet is late by a chance of up
 * to the time of one: without it everything is exactly periodic in virtual time, and it is always the packet of the same
 * flow that finds the queue full (Floyd and Jacobson, On Traffic Phase Effects in Packet-Switched Gateways, 1992).
 */
export function sharedLinkOf(
  cell: Omit<Cell, 'loss'>,
  jitterMs: number = PACKET_MS,
): { forward: PathOptions; backward: PathOptions } {
  const { forward, backward } = linkOf({ ...cell, loss: 0 }, 1);
  return { forward: { ...forward, jitterMs }, backward: { ...backward, jitterMs } };
}

/** When two flows that share a link begin, in ms: the first at once. */
export function startOfSecondMs(seed: number): number {
  return new Random(seed).fork('start').next() * 1000;
}

function dropList(loss: number, seed: number): number[] {
  const random = new Random(seed).fork(`losses ${loss}`);
  const places: number[] = [];
  for (let place = FIRST_DATA; place < PLACES; place++) if (random.chance(loss)) places.push(place);
  return places;
}

const PACKET_MS = (1500 * 8 * 1000) / RATE_BITS_PER_SECOND;
/** SYN and the acknowledgement of its answer come first. */
const FIRST_DATA = 2;
/** More packets than the link carries meanwhile. */
const PLACES = 60_000;
