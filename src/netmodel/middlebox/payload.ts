// Boxes that act on payload and on how it is cut into segments: bytes changed or inserted, segments joined,
// split, repeated, or not let past a hole. What changes the stream does so at places counted in the stream,
// so that a retransmission is changed alike. RFC 8684 §3.7, §6. Before: plan.ts. After: the path.

import type { RandomSource } from '../random.ts';
import { type Direction, Flows, type Leave, type Middlebox, opposite, PassingBox } from './box.ts';
import {
  distance,
  isDamaged,
  join,
  type PacketShape,
  read32,
  rebuilt,
  repair,
  shapeOf,
  tcpOptions,
  write32,
} from './tcp-packet.ts';

/** Changes single bytes of one direction, keeping the length. */
export class ByteChanger extends PassingBox {
  private readonly direction: Direction;
  private readonly atBytes: readonly number[];
  private readonly flows: Flows<{ isn: number }> = new Flows();

  constructor(options: { direction: Direction; atBytes: readonly number[] }) {
    super();
    this.direction = options.direction;
    this.atBytes = options.atBytes;
  }

  override pass(
    packet: Uint8Array,
    direction: Direction,
    _now: number,
    _random: RandomSource,
    leave: Leave,
  ): void {
    const shape = shapeOf(packet);
    if (shape !== undefined && direction === this.direction && !isDamaged(packet)) {
      if (shape.isSyn) this.flows.set(shape, direction, { isn: shape.seq });
      const flow = this.flows.of(shape, direction);
      if (flow !== undefined && shape.payloadLength > 0) {
        const start = distance(flow.isn, shape.seq) - 1;
        for (const at of this.atBytes) {
          if (at >= start && at < start + shape.payloadLength) packet[shape.payload + at - start] ^= 0x5a;
        }
        repair(packet);
      }
    }
    leave(packet, direction);
  }
}

/**
 * Inserts bytes in one direction, as an application-level gateway does, and keeps both ends' numbers
 * consistent.
 */
export class ByteInserter extends PassingBox {
  private readonly direction: Direction;
  private readonly atByte: number;
  private readonly bytes: number;
  private readonly flows: Flows<{ isn: number }> = new Flows();

  constructor(options: { direction: Direction; atByte: number; bytes: number }) {
    super();
    this.direction = options.direction;
    this.atByte = options.atByte;
    this.bytes = options.bytes;
  }

  override pass(
    packet: Uint8Array,
    direction: Direction,
    _now: number,
    _random: RandomSource,
    leave: Leave,
  ): void {
    const shape = shapeOf(packet);
    if (shape === undefined || isDamaged(packet)) {
      leave(packet, direction);
      return;
    }
    if (shape.isSyn && direction === this.direction) this.flows.set(shape, direction, { isn: shape.seq });
    const flow = this.flows.of(shape, direction);
    if (flow === undefined || shape.isSyn) leave(packet, direction);
    else if (direction === this.direction) leave(this.lengthened(packet, shape, flow.isn), direction);
    else leave(this.acknowledged(packet, shape, flow.isn), direction);
  }

  private lengthened(packet: Uint8Array, shape: PacketShape, isn: number): Uint8Array {
    const start = distance(isn, shape.seq) - 1;
    const before = this.atByte - start;
    if (before < 0) return rebuilt(packet, shape, { seq: (shape.seq + this.bytes) >>> 0 });
    if (before >= shape.payloadLength) return packet;
    const inserted = new Uint8Array(this.bytes).fill(INSERTED);
    const cut = shape.payload + before;
    const payload = join([packet.subarray(shape.payload, cut), inserted, packet.subarray(cut, shape.end)]);
    return rebuilt(packet, shape, { payload });
  }

  private acknowledged(packet: Uint8Array, shape: PacketShape, isn: number): Uint8Array {
    if (shape.isAck) write32(packet, shape.tcp + 8, this.without(shape.ack, isn));
    for (const { kind, at, length } of tcpOptions(packet, shape)) {
      if (kind !== SACK_KIND) continue;
      for (let i = at + 2; i + 4 <= at + length; i += 4)
        write32(packet, i, this.without(read32(packet, i), isn));
    }
    repair(packet);
    return packet;
  }

  private without(number: number, isn: number): number {
    const at = distance(isn, number) - 1;
    if (at <= this.atByte) return number;
    return (isn + 1 + Math.max(this.atByte, at - this.bytes)) >>> 0;
  }
}

/**
 * Joins consecutive segments of a direction into one of up to so many bytes, with the options of the first.
 */
export class Coalescer implements Middlebox {
  dueMs: number = Number.POSITIVE_INFINITY;
  private readonly direction: Direction | 'both';
  private readonly mostBytes: number;
  private readonly waitMs: number;
  private readonly held: Map<Direction, Uint8Array> = new Map();

  constructor(options: { direction?: Direction; mostBytes: number; waitMs?: number }) {
    this.direction = options.direction ?? 'both';
    this.mostBytes = options.mostBytes;
    this.waitMs = options.waitMs ?? 1;
  }

  pass(packet: Uint8Array, direction: Direction, now: number, _random: RandomSource, leave: Leave): void {
    const shape = shapeOf(packet);
    const concerned = this.direction === 'both' || this.direction === direction;
    if (!concerned || shape === undefined || isDamaged(packet)) {
      this.flush(direction, leave);
      leave(packet, direction);
      return;
    }
    const joined = this.joined(packet, shape, direction);
    if (joined !== undefined) {
      this.held.set(direction, joined);
      return;
    }
    this.flush(direction, leave);
    if (shape.payloadLength === 0 || shape.isSyn || shape.isFin || shape.isRst) {
      leave(packet, direction);
      return;
    }
    this.held.set(direction, packet);
    this.dueMs = Math.min(this.dueMs, now + this.waitMs);
  }

  due(now: number, leave: Leave): void {
    if (now < this.dueMs) return;
    this.dueMs = Number.POSITIVE_INFINITY;
    this.flush('forward', leave);
    this.flush('backward', leave);
  }

  private flush(direction: Direction, leave: Leave): void {
    const packet = this.held.get(direction);
    if (packet === undefined) return;
    this.held.delete(direction);
    leave(packet, direction);
  }

  private joined(packet: Uint8Array, shape: PacketShape, direction: Direction): Uint8Array | undefined {
    const first = this.held.get(direction);
    const firstShape = first === undefined ? undefined : shapeOf(first);
    if (first === undefined || firstShape === undefined || shape.payloadLength === 0 || shape.isSyn)
      return undefined;
    const follows =
      shape.srcPort === firstShape.srcPort &&
      shape.dstPort === firstShape.dstPort &&
      (firstShape.seq + firstShape.payloadLength) >>> 0 === shape.seq &&
      firstShape.payloadLength + shape.payloadLength <= this.mostBytes;
    if (!follows || shape.isFin || shape.isRst) return undefined;
    const payload = join([
      first.subarray(firstShape.payload, firstShape.end),
      packet.subarray(shape.payload, shape.end),
    ]);
    const flags = first[firstShape.tcp + 13] | packet[shape.tcp + 13];
    return rebuilt(first, firstShape, { payload, flags, ack: shape.ack });
  }
}

/** Cuts segments into smaller ones; the options go onto all pieces, the first, or the last. */
export class Splitter extends PassingBox {
  private readonly mostBytes: number;
  private readonly keeps: 'all' | 'first' | 'last';

  constructor(options: { mostBytes: number; keeps: 'all' | 'first' | 'last' }) {
    super();
    this.mostBytes = options.mostBytes;
    this.keeps = options.keeps;
  }

  override pass(
    packet: Uint8Array,
    direction: Direction,
    _now: number,
    _random: RandomSource,
    leave: Leave,
  ): void {
    const shape = shapeOf(packet);
    if (shape === undefined || shape.isSyn || shape.payloadLength <= this.mostBytes || isDamaged(packet)) {
      leave(packet, direction);
      return;
    }
    const flags = packet[shape.tcp + 13];
    const timestamps = tcpOptions(packet, shape).find(({ kind }) => kind === TIMESTAMPS_KIND);
    const bare =
      timestamps === undefined
        ? new Uint8Array(0)
        : packet.slice(timestamps.at, timestamps.at + timestamps.length);
    for (let at = 0; at < shape.payloadLength; at += this.mostBytes) {
      const until = Math.min(at + this.mostBytes, shape.payloadLength);
      const isFirst = at === 0;
      const isLast = until === shape.payloadLength;
      const keeps = this.keeps === 'all' || (this.keeps === 'first' ? isFirst : isLast);
      const piece = {
        seq: (shape.seq + at) >>> 0,
        flags: isLast ? flags : flags & ~(FIN | PSH),
        payload: packet.subarray(shape.payload + at, shape.payload + until),
      };
      leave(rebuilt(packet, shape, keeps ? piece : { ...piece, options: bare }), direction);
    }
  }
}

/**
 * Lets no data past a hole in the sequence numbers: what comes behind it is dropped until the hole is
 * filled.
 */
export class HoleBlocker extends PassingBox {
  private readonly flows: Flows<Record<Direction, number>> = new Flows();

  override pass(
    packet: Uint8Array,
    direction: Direction,
    _now: number,
    _random: RandomSource,
    leave: Leave,
  ): void {
    const shape = shapeOf(packet);
    if (shape === undefined || isDamaged(packet)) return;
    let flow = this.flows.of(shape, direction);
    if (shape.isSyn) {
      flow ??= this.flows.set(shape, direction, { forward: 0, backward: 0 });
      flow[direction] = (shape.seq + 1) >>> 0;
    } else if (flow !== undefined && shape.payloadLength > 0) {
      if (distance(flow[direction], shape.seq) > 0) return;
      const end = (shape.seq + shape.payloadLength) >>> 0;
      if (distance(flow[direction], end) > 0) flow[direction] = end;
    }
    leave(packet, direction);
  }
}

/** Sends old data segments again, as a normaliser with a cache does. */
export class Replayer extends PassingBox {
  private readonly every: number;
  private readonly kept: Uint8Array[] = [];
  private seen = 0;

  constructor(options: { every: number }) {
    super();
    this.every = options.every;
  }

  override pass(
    packet: Uint8Array,
    direction: Direction,
    _now: number,
    _random: RandomSource,
    leave: Leave,
  ): void {
    const shape = shapeOf(packet);
    const isData = shape !== undefined && shape.payloadLength > 0;
    if (isData) this.kept.push(packet.slice());
    leave(packet, direction);
    if (!isData || ++this.seen % this.every !== 0) return;
    const old = this.kept[0];
    this.kept.splice(0, this.kept.length > KEPT_SEGMENTS ? this.every : 0);
    const oldShape = shapeOf(old) as PacketShape;
    const sameWay = oldShape.srcPort === shape.srcPort && oldShape.dstPort === shape.dstPort;
    leave(old.slice(), sameWay ? direction : opposite(direction));
  }
}

const FIN = 1;
const PSH = 8;
const SACK_KIND = 5;
const TIMESTAMPS_KIND = 8;
const INSERTED = 0x78;
const KEPT_SEGMENTS = 40;
