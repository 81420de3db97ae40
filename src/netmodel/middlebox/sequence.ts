// Boxes that act on sequence numbers, addresses and ports: randomised initial sequence numbers, address
// translation whose mapping may be forgotten or changed, a proxy that answers SYNs itself, one that
// acknowledges ahead of the receiver. RFC 8684 §6. Before: plan.ts. After: the path.

import type { RandomSource } from '../random.ts';
import { type Direction, Flows, type Leave, opposite, PassingBox } from './box.ts';
import {
  answerTo,
  distance,
  isDamaged,
  type PacketShape,
  read32,
  rebuilt,
  repair,
  shapeOf,
  tcpOptions,
  write16,
  write32,
} from './tcp-packet.ts';

/** Adds an offset to the sequence numbers of a direction, and takes it from what acknowledges them. */
function shift(packet: Uint8Array, shape: PacketShape, by: { seq: number; ack: number; sack: number }): void {
  write32(packet, shape.tcp + 4, (shape.seq + by.seq) >>> 0);
  if (shape.isAck) write32(packet, shape.tcp + 8, (shape.ack - by.ack) >>> 0);
  for (const { kind, at, length } of tcpOptions(packet, shape)) {
    if (kind !== SACK_KIND) continue;
    for (let i = at + 2; i + 4 <= at + length; i += 4)
      write32(packet, i, (read32(packet, i) - by.sack) >>> 0);
  }
  repair(packet);
}

/** Gives each direction of each connection another initial sequence number; SACK blocks may be forgotten. */
export class IsnRandomizer extends PassingBox {
  private readonly rewritesSack: boolean;
  private readonly flows: Flows<{ forward: number; backward: number }> = new Flows();

  constructor(options: { rewritesSack: boolean }) {
    super();
    this.rewritesSack = options.rewritesSack;
  }

  override pass(
    packet: Uint8Array,
    direction: Direction,
    _now: number,
    random: RandomSource,
    leave: Leave,
  ): void {
    const shape = shapeOf(packet);
    if (shape === undefined || isDamaged(packet)) {
      leave(packet, direction);
      return;
    }
    let flow = this.flows.of(shape, direction);
    if (flow === undefined && shape.isSyn) {
      flow = this.flows.set(shape, direction, { forward: random.uint32(), backward: random.uint32() });
    }
    if (flow !== undefined) {
      const ack = flow[opposite(direction)];
      shift(packet, shape, { seq: flow[direction], ack, sack: this.rewritesSack ? ack : 0 });
    }
    leave(packet, direction);
  }
}

interface Mapping {
  inside: number;
  outside: number;
  usedMs: number;
}

/**
 * Network address and port translation of the forward side: IPv4. A mapping unused for a while is forgotten,
 * and all of them at a given time; then what comes from inside gets a new port, and what comes from outside
 * is dropped.
 */
export class AddressTranslator extends PassingBox {
  private readonly address: readonly number[];
  private readonly idleMs: number;
  private readonly forgetAtMs: number;
  private forgotten = false;
  private nextPort = 50_000;
  private insideAddress: Uint8Array = new Uint8Array(4);
  private mappings: Mapping[] = [];

  constructor(options: { address: string; idleMs?: number; forgetAtMs?: number }) {
    super();
    this.address = options.address.split('.').map(Number);
    this.idleMs = options.idleMs ?? Number.POSITIVE_INFINITY;
    this.forgetAtMs = options.forgetAtMs ?? Number.POSITIVE_INFINITY;
  }

  override pass(
    packet: Uint8Array,
    direction: Direction,
    now: number,
    _random: RandomSource,
    leave: Leave,
  ): void {
    const shape = shapeOf(packet);
    if (shape === undefined || isDamaged(packet)) return;
    if (!this.forgotten && now >= this.forgetAtMs) {
      this.forgotten = true;
      this.mappings = [];
    }
    this.mappings = this.mappings.filter(({ usedMs }) => now - usedMs <= this.idleMs);
    if (direction === 'forward') {
      let mapping = this.mappings.find(({ inside }) => inside === shape.srcPort);
      if (mapping === undefined) {
        mapping = { inside: shape.srcPort, outside: this.nextPort++, usedMs: now };
        this.mappings.push(mapping);
      }
      mapping.usedMs = now;
      this.insideAddress = packet.slice(12, 16);
      packet.set(this.address, 12);
      write16(packet, shape.tcp, mapping.outside);
    } else {
      const mapping = this.mappings.find(({ outside }) => outside === shape.dstPort);
      if (mapping === undefined) return;
      mapping.usedMs = now;
      packet.set(this.insideAddress, 16);
      write16(packet, shape.tcp + 2, mapping.inside);
    }
    repair(packet);
    leave(packet, direction);
  }
}

interface Proxied {
  /** What the proxy called its own initial sequence number towards the client, and what the server's was. */
  ownIsn: number;
  serverIsn: number;
  stage: 'client' | 'server' | 'open';
  held: Uint8Array[];
}

/**
 * Answers SYNs itself, as SYN cookies do, with no option but the MSS; opens to the server once the client
 * is real.
 */
export class SynProxy extends PassingBox {
  private readonly flows: Flows<Proxied> = new Flows();

  override pass(
    packet: Uint8Array,
    direction: Direction,
    _now: number,
    random: RandomSource,
    leave: Leave,
  ): void {
    const shape = shapeOf(packet);
    if (shape === undefined) return;
    let flow = this.flows.of(shape, direction);
    if (flow === undefined) {
      if (direction === 'backward' || !shape.isSyn) return;
      flow = this.flows.set(shape, direction, {
        ownIsn: random.uint32(),
        serverIsn: 0,
        stage: 'client',
        held: [],
      });
    }
    if (direction === 'forward') this.fromClient(packet, shape, flow, leave);
    else this.fromServer(packet, shape, flow, leave);
  }

  private fromClient(packet: Uint8Array, shape: PacketShape, flow: Proxied, leave: Leave): void {
    if (shape.isSyn) {
      const ack = (shape.seq + 1) >>> 0;
      leave(
        answerTo(packet, shape, {
          seq: flow.ownIsn,
          ack,
          flags: SYN | ACK,
          options: MSS_1460,
          window: 65_535,
        }),
        'backward',
      );
      return;
    }
    if (flow.stage === 'open') {
      this.toServer(packet, shape, flow, leave);
      return;
    }
    flow.held.push(packet);
    if (flow.stage === 'server') return;
    flow.stage = 'server';
    const seq = (shape.seq - 1) >>> 0;
    const changes = {
      seq,
      ack: 0,
      flags: SYN,
      options: MSS_1460,
      payload: new Uint8Array(0),
      window: 65_535,
    };
    leave(rebuilt(packet, shape, changes), 'forward');
  }

  private fromServer(packet: Uint8Array, shape: PacketShape, flow: Proxied, leave: Leave): void {
    if (shape.isSyn) {
      flow.serverIsn = shape.seq;
      flow.stage = 'open';
      for (const one of flow.held) this.toServer(one, shapeOf(one) as PacketShape, flow, leave);
      flow.held.length = 0;
      return;
    }
    const by = distance(flow.serverIsn, flow.ownIsn);
    shift(packet, shape, { seq: by, ack: 0, sack: 0 });
    leave(packet, 'backward');
  }

  private toServer(packet: Uint8Array, shape: PacketShape, flow: Proxied, leave: Leave): void {
    const by = distance(flow.serverIsn, flow.ownIsn);
    shift(packet, shape, { seq: 0, ack: by, sack: by });
    leave(packet, 'forward');
  }
}

/** Acknowledges data ahead of its receiver, without options (RFC 3135). It trusts the path behind it. */
export class ProactiveAcker extends PassingBox {
  private readonly direction: Direction;
  private readonly flows: Flows<{ next: number; ack: number }> = new Flows();

  constructor(options: { direction: Direction }) {
    super();
    this.direction = options.direction;
  }

  override pass(
    packet: Uint8Array,
    direction: Direction,
    _now: number,
    _random: RandomSource,
    leave: Leave,
  ): void {
    const shape = shapeOf(packet);
    leave(packet.slice(), direction);
    if (shape === undefined || isDamaged(packet)) return;
    let flow = this.flows.of(shape, direction);
    if (shape.isSyn) {
      flow ??= this.flows.set(shape, direction, { next: 0, ack: 0 });
      if (direction === this.direction) flow.next = (shape.seq + 1) >>> 0;
      else flow.ack = (shape.seq + 1) >>> 0;
      return;
    }
    if (flow === undefined) return;
    const end = (shape.seq + shape.payloadLength) >>> 0;
    if (direction !== this.direction) {
      if (distance(flow.ack, end) > 0) flow.ack = end;
      return;
    }
    if (shape.payloadLength === 0 || distance(flow.next, shape.seq) > 0) return;
    if (distance(flow.next, end) <= 0) return;
    flow.next = end;
    const options = timestampEcho(packet, shape);
    leave(
      answerTo(packet, shape, { seq: shape.ack, ack: end, flags: ACK, options, window: 4_000 }),
      opposite(direction),
    );
  }
}

function timestampEcho(packet: Uint8Array, shape: PacketShape): Uint8Array {
  const option = tcpOptions(packet, shape).find(({ kind }) => kind === TIMESTAMPS_KIND);
  if (option === undefined) return new Uint8Array(0);
  const echo = new Uint8Array(12).fill(1);
  echo.set(packet.subarray(option.at, option.at + 2), 2);
  echo.set(packet.subarray(option.at + 6, option.at + 10), 4);
  echo.set(packet.subarray(option.at + 2, option.at + 6), 8);
  return echo;
}

const SYN = 2;
const ACK = 16;
const SACK_KIND = 5;
const TIMESTAMPS_KIND = 8;
const MSS_1460: Uint8Array = Uint8Array.of(2, 4, 0x05, 0xb4);
