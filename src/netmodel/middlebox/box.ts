// Decides what a middlebox is here: something on a path that is given packets one at a time, with the time
// and a random source, and lets zero or more packets out, in either direction. It may remember; it has no
// clock.
// RFC 8684 §6. Before: table.ts or a plan says which box. After: each box in the files beside this one.

import type { RandomSource } from '../random.ts';
import { type PacketShape, type TcpOption, tcpOptions } from './tcp-packet.ts';

/** The way of a packet: `forward` is from the side whose plan names the path first, the client's. */
export type Direction = 'forward' | 'backward';

/** Where packets leave. The box keeps no hold of the bytes afterwards. */
export type Leave = (packet: Uint8Array, direction: Direction) => void;

export interface Middlebox {
  /** One packet arrives; the box may change its bytes. */
  pass(packet: Uint8Array, direction: Direction, now: number, random: RandomSource, leave: Leave): void;
  /** When it wants `due` to be called, as it holds a packet back; Infinity when it does not. */
  readonly dueMs: number;
  due(now: number, leave: Leave): void;
}

/** Which packets a box means. Every condition given must hold; none given means every packet. */
export interface Match {
  readonly direction?: Direction;
  /** By flags and payload: `syns` are both kinds of SYN. */
  readonly kind?: 'syn' | 'syn-ack' | 'syns' | 'not-syn' | 'data' | 'no-data';
  /** It carries an MPTCP option of one of these subtypes; an empty list: any MPTCP option. */
  readonly subtypes?: readonly number[];
  /** Either port is this one. */
  readonly port?: number;
  /** Only from this time on. */
  readonly fromMs?: number;
  /** Only from the so many-th such packet on (counted from 0), and only so many of them. */
  readonly from?: number;
  readonly first?: number;
  /** Each of them with this probability. */
  readonly probability?: number;
}

/** A `Match` at work: it counts. */
export class Matcher {
  private readonly match: Match;
  private seen = 0;

  constructor(match: Match) {
    this.match = match;
  }

  accepts(
    packet: Uint8Array,
    shape: PacketShape,
    direction: Direction,
    now: number,
    random: RandomSource,
  ): boolean {
    const { match } = this;
    if (match.direction !== undefined && match.direction !== direction) return false;
    if (match.fromMs !== undefined && now < match.fromMs) return false;
    if (match.kind !== undefined && !isKind(match.kind, shape)) return false;
    if (match.port !== undefined && match.port !== shape.srcPort && match.port !== shape.dstPort)
      return false;
    if (match.subtypes !== undefined) {
      const { subtypes } = match;
      const carries = tcpOptions(packet, shape).some(option => isMptcp(option, subtypes));
      if (!carries) return false;
    }
    if (match.probability !== undefined && random.next() >= match.probability) return false;
    const number = this.seen++;
    const from = match.from ?? 0;
    return number >= from && number < from + (match.first ?? Number.POSITIVE_INFINITY);
  }
}

/** An MPTCP option, of one of the subtypes if any are given. */
export function isMptcp(option: TcpOption, subtypes: readonly number[] = []): boolean {
  return option.kind === MPTCP_KIND && (subtypes.length === 0 || subtypes.includes(option.subtype));
}

function isKind(kind: NonNullable<Match['kind']>, shape: PacketShape): boolean {
  switch (kind) {
    case 'syn':
      return shape.isSyn && !shape.isAck;
    case 'syn-ack':
      return shape.isSyn && shape.isAck;
    case 'syns':
      return shape.isSyn;
    case 'not-syn':
      return !shape.isSyn;
    case 'data':
      return shape.payloadLength > 0;
    case 'no-data':
      return shape.payloadLength === 0;
  }
}

/** Per connection, what a box remembers of it: by the ports at both ends, as the two ends know them. */
export class Flows<T> {
  private readonly flows: Map<number, T> = new Map();

  of(shape: PacketShape, direction: Direction): T | undefined {
    return this.flows.get(flowKey(shape, direction));
  }

  set(shape: PacketShape, direction: Direction, value: T): T {
    this.flows.set(flowKey(shape, direction), value);
    return value;
  }
}

function flowKey({ srcPort, dstPort }: PacketShape, direction: Direction): number {
  return direction === 'forward' ? srcPort * 65_536 + dstPort : dstPort * 65_536 + srcPort;
}

export function opposite(direction: Direction): Direction {
  return direction === 'forward' ? 'backward' : 'forward';
}

/** For boxes that hold nothing back. */
export abstract class PassingBox implements Middlebox {
  readonly dueMs: number = Number.POSITIVE_INFINITY;
  abstract pass(
    packet: Uint8Array,
    direction: Direction,
    now: number,
    random: RandomSource,
    leave: Leave,
  ): void;
  due(): void {}
}

/** The kind number of every MPTCP option (RFC 8684 §8.1). */
export const MPTCP_KIND = 30;
