// The wires of a world: interfaces, and paths between pairs of them, a path being two PathModels, one a
// direction. A packet enters where a host hands it over, is cut into wire packets there (so that loss
// and queues act on those), and comes out as an arrival event, or not at all. Everything random is drawn
// from the lane's own source, so that traffic on one path does not change the luck of another.
// Before it: driver.ts hands over what a host transmits. After it: world.ts gives arrivals to the
// drivers.

import { type Direction, type Middlebox, PathModel, type Random } from '../netmodel/index.ts';
import {
  copyBytes,
  ecnField,
  markCongestion,
  parseAddress,
  type SplitSink,
  splitPacket,
} from '../wire/index.ts';
import { EventKind, type EventQueue } from './clock.ts';
import type { Fingerprint } from './fingerprint.ts';
import type { PacketCapture } from './packet-capture.ts';
import { PacketPool } from './packet-pool.ts';
import type { PacketFate, PacketTrace } from './packet-trace.ts';
import type { LinkPlan } from './plan.ts';

/** An attachment point: one address of one host. */
export interface NetworkInterface {
  /** Its number in the network. */
  readonly index: number;
  readonly host: number;
  readonly mtu: number;
  readonly checksumOffload: boolean;
  /** The four words of its address; IPv4 is v4-mapped. */
  readonly address: Int32Array;
  /** False while the host has no such address: packets to it go nowhere. */
  present: boolean;
  /** Lanes that begin here. */
  readonly lanes: Lane[];
}

/** One direction of a path. */
export interface Lane {
  readonly index: number;
  readonly path: number;
  readonly name: string;
  readonly model: PathModel;
  readonly random: Random;
  readonly to: NetworkInterface;
  readonly reportsMtu: boolean;
  /** What stands on the path; it sees packets as they enter, in both directions. */
  readonly middlebox: Middlebox | undefined;
  readonly direction: Direction;
  /** The other direction of the path, once there is one. */
  reverse: Lane | undefined;
  /** What the far end is also called: packets with this destination enter here too. */
  readonly alias: Int32Array | undefined;
  /** Packets a middlebox did not leave as they were. */
  interferences: number;
  /** Packets with and without SYN that are still to be lost, come what may. */
  synsToLose: number;
  othersToLose: number;
  /** Packets with SYN that were lost, for whatever reason. */
  lostSyns: number;
  /** Packets lost, damaged or undeliverable, and when the last of them was. */
  lostPackets: number;
  lastLossMs: number;
  /** The longest time in which one packet after another was lost, the present one included. */
  longestLossSpanMs: number;
  /** Since when, and how many were lost since a packet last arrived. */
  lossRunStartMs: number;
  lossRun: number;
}

export class Network {
  readonly pool: PacketPool = new PacketPool();
  readonly interfaces: NetworkInterface[] = [];
  readonly lanes: Lane[] = [];
  /** Wire packets that entered a path. */
  packets = 0;
  /** Packets for which there was no path. */
  unroutable = 0;
  /** Set to see every packet. */
  trace: PacketTrace | undefined;
  /** Set to record every packet that enters a path. */
  capture: PacketCapture | undefined;
  /** Told of packets a host must not have sent. */
  onViolation: (message: string) => void = () => {};

  private readonly queue: EventQueue;
  private readonly fingerprint: Fingerprint;
  private readonly splitter: Splitter;

  constructor(options: { queue: EventQueue; fingerprint: Fingerprint }) {
    this.queue = options.queue;
    this.fingerprint = options.fingerprint;
    this.splitter = new Splitter(this.pool, (lane, slot, length) => this.enter(lane, slot, length));
  }

  addInterface(options: {
    host: number;
    address: string;
    mtu: number;
    checksumOffload: boolean;
  }): NetworkInterface {
    const address = new Int32Array(4);
    if (parseAddress(options.address, address) === 0) throw new RangeError(`no address: ${options.address}`);
    const added: NetworkInterface = {
      index: this.interfaces.length,
      host: options.host,
      mtu: options.mtu,
      checksumOffload: options.checksumOffload,
      address,
      present: true,
      lanes: [],
    };
    this.interfaces.push(added);
    return added;
  }

  /** One direction between two interfaces. A path is two of these. */
  addLane(options: {
    path: number;
    name: string;
    from: NetworkInterface;
    to: NetworkInterface;
    link: LinkPlan;
    random: Random;
    reportsMtu: boolean;
    loseFirst: { syns: number; others: number };
    middlebox?: Middlebox | undefined;
    direction?: Direction;
    alias?: Int32Array | undefined;
  }): Lane {
    const lane: Lane = {
      index: this.lanes.length,
      path: options.path,
      name: options.name,
      model: new PathModel(options.link),
      random: options.random,
      to: options.to,
      reportsMtu: options.reportsMtu,
      middlebox: options.middlebox,
      direction: options.direction ?? 'forward',
      reverse: undefined,
      alias: options.alias,
      interferences: 0,
      synsToLose: options.loseFirst.syns,
      othersToLose: options.loseFirst.others,
      lostSyns: 0,
      lostPackets: 0,
      lastLossMs: Number.NEGATIVE_INFINITY,
      longestLossSpanMs: 0,
      lossRunStartMs: 0,
      lossRun: 0,
    };
    this.lanes.push(lane);
    options.from.lanes.push(lane);
    return lane;
  }

  /**
   * A host sends the packet of `length` bytes at `offset`; more than `segmentSize` bytes of payload are split
   * into wire packets. The bytes may be reused at once.
   */
  send(from: NetworkInterface, bytes: Uint8Array, offset: number, length: number, segmentSize: number): void {
    const lane = laneTo(from, bytes, offset);
    if (lane === undefined) {
      this.unroutable++;
      this.trace?.packet(this.queue.nowMs, 'nowhere', bytes, offset, length, NO_ROUTE);
      return;
    }
    const headers = headerBytes(bytes, offset);
    const largest = Math.min(length, headers + segmentSize);
    if (length > headers && largest > from.mtu) {
      this.onViolation(`a packet of ${largest} bytes on the wire, over the MTU of ${from.mtu}`);
    }
    if (length > headers + segmentSize && length > headers) {
      this.splitter.aim(lane, largest, !from.checksumOffload);
      splitPacket(bytes, offset, length, segmentSize, this.splitter);
      this.splitter.finish();
      return;
    }
    const slot = this.pool.take(length);
    copyBytes(bytes, offset, this.pool.bytes(slot), this.pool.offset[slot], length);
    this.enter(lane, slot, length);
  }

  /** An arrival event has come: the packet's slot is the caller's when true, else it was lost on the way. */
  arrive(slot: number, laneIndex: number): boolean {
    const lane = this.lanes[laneIndex];
    if (this.pool.tag[slot] === lane.model.cuts && lane.to.present) {
      lane.lossRun = 0;
      return true;
    }
    this.lose(lane, slot);
    this.pool.release(slot);
    return false;
  }

  /** A middlebox kept it, the receiver had no room, or it was damaged: as good as lost on its lane. */
  countLoss(lane: Lane): void {
    lane.lostPackets++;
    lane.lastLossMs = this.queue.nowMs;
    if (lane.lossRun++ === 0) lane.lossRunStartMs = this.queue.nowMs;
    if (lane.lossRun < SPAN_LOSSES) return;
    lane.longestLossSpanMs = Math.max(lane.longestLossSpanMs, this.queue.nowMs - lane.lossRunStartMs);
  }

  private enter(lane: Lane, slot: number, length: number): void {
    const pool = this.pool;
    const bytes = pool.bytes(slot);
    const offset = pool.offset[slot];
    const now = this.queue.nowMs;
    this.packets++;
    this.fingerprint.add(now, lane.index, pool.words(slot), bytes, offset, length);
    if (mustBeLost(lane, bytes, offset)) {
      this.show(lane, bytes, offset, length, MEANT_LOST);
      this.lose(lane, slot);
      pool.release(slot);
      return;
    }
    if (lane.middlebox === undefined) this.carry(lane, slot, length);
    else this.interfere(lane, lane.middlebox, slot, length);
  }

  /** A middlebox has held packets back until now; `EventKind.MIDDLEBOX`. */
  middleboxDue(laneIndex: number): void {
    const lane = this.lanes[laneIndex];
    lane.middlebox?.due(this.queue.nowMs, (packet, direction) => this.emerge(lane, packet, direction));
    this.armMiddlebox(lane);
  }

  private interfere(lane: Lane, middlebox: Middlebox, slot: number, length: number): void {
    const { pool } = this;
    const bytes = pool.bytes(slot);
    const start = pool.offset[slot];
    const packet = bytes.slice(start, start + length);
    let intact = 0;
    let left = 0;
    middlebox.pass(packet, lane.direction, this.queue.nowMs, lane.random, (out, direction) => {
      left++;
      if (direction === lane.direction && isSame(out, bytes, start, length)) intact++;
      this.emerge(lane, out, direction);
    });
    if (left !== 1 || intact !== 1) lane.interferences++;
    if (left === 0) this.countLoss(lane);
    pool.release(slot);
    this.armMiddlebox(lane);
  }

  private emerge(lane: Lane, packet: Uint8Array, direction: Direction): void {
    const out = direction === lane.direction ? lane : lane.reverse;
    if (out === undefined) return;
    const slot = this.pool.take(packet.length);
    copyBytes(packet, 0, this.pool.bytes(slot), this.pool.offset[slot], packet.length);
    this.carry(out, slot, packet.length);
  }

  private armMiddlebox(lane: Lane): void {
    const dueMs = lane.middlebox?.dueMs ?? Number.POSITIVE_INFINITY;
    if (dueMs < Number.POSITIVE_INFINITY) {
      this.queue.schedule(Math.max(dueMs, this.queue.nowMs), EventKind.MIDDLEBOX, lane.index, 0);
    }
  }

  private carry(lane: Lane, slot: number, length: number): void {
    const pool = this.pool;
    const bytes = pool.bytes(slot);
    const offset = pool.offset[slot];
    const now = this.queue.nowMs;
    const verdict = lane.model.offer(now, length, lane.random, ecnField(bytes, offset) !== 0);
    if (verdict.lost) {
      const fate = { arrivalMs: Number.NaN, note: verdict.reason };
      this.show(lane, bytes, offset, length, fate);
      if (verdict.reason === 'mtu' && lane.reportsMtu) this.reportMtu(lane, slot);
      this.lose(lane, slot);
      pool.release(slot);
      return;
    }
    const { arrivesMs, duplicateMs, corruptBit, congestionMarked } = verdict;
    if (congestionMarked) markCongestion(bytes, offset);
    if (this.trace !== undefined || this.capture !== undefined) {
      const note = [duplicateMs < 0 ? '' : `twice, at ${duplicateMs.toFixed(3)}`];
      if (corruptBit >= 0) note.push(`bit ${corruptBit} flipped`);
      if (congestionMarked) note.push('congestion experienced');
      const text = note.filter(part => part !== '').join(', ');
      this.show(lane, bytes, offset, length, { arrivalMs: arrivesMs, note: text });
    }
    pool.tag[slot] = lane.model.cuts;
    if (duplicateMs >= 0) this.copyTo(lane, slot, length, duplicateMs);
    if (corruptBit >= 0) {
      this.lose(lane, slot);
      bytes[offset + (corruptBit >> 3)] ^= 0x80 >> (corruptBit & 7);
    }
    this.queue.schedule(arrivesMs, EventKind.ARRIVAL, slot, lane.index);
  }

  private show(lane: Lane, bytes: Uint8Array, offset: number, length: number, fate: PacketFate): void {
    const now = this.queue.nowMs;
    this.trace?.packet(now, lane.name, bytes, offset, length, fate);
    this.capture?.packet(now, lane, bytes, offset, length, fate);
  }

  private copyTo(lane: Lane, slot: number, length: number, arrivesMs: number): void {
    const pool = this.pool;
    const copy = pool.take(length);
    copyBytes(pool.bytes(slot), pool.offset[slot], pool.bytes(copy), pool.offset[copy], length);
    pool.tag[copy] = lane.model.cuts;
    this.queue.schedule(arrivesMs, EventKind.ARRIVAL, copy, lane.index);
  }

  private lose(lane: Lane, slot: number): void {
    if (hasSyn(this.pool.bytes(slot), this.pool.offset[slot])) lane.lostSyns++;
    this.countLoss(lane);
  }

  private reportMtu(lane: Lane, slot: number): void {
    const sender = this.interfaces.find(one => one.lanes.includes(lane));
    if (sender === undefined || this.pool.length[slot] <= lane.model.mtu) return;
    const reportMs = this.queue.nowMs + MTU_REPORT_MS;
    this.queue.schedule(reportMs, EventKind.MTU_REPORT, sender.index, lane.model.mtu);
  }
}

// Writes the pieces of a super-segment straight into slots of the pool.
class Splitter implements SplitSink {
  buffer: Uint8Array = new Uint8Array(0);
  offset = 0;
  checksum = true;

  private readonly pool: PacketPool;
  private readonly enter: (lane: Lane, slot: number, length: number) => void;
  private lane: Lane | undefined;
  private slot = 0;
  private neededBytes = 0;

  constructor(pool: PacketPool, enter: (lane: Lane, slot: number, length: number) => void) {
    this.pool = pool;
    this.enter = enter;
  }

  /** Where the pieces of the next packet go, and the bytes the largest of them has. */
  aim(lane: Lane, neededBytes: number, checksum: boolean): void {
    this.lane = lane;
    this.checksum = checksum;
    this.neededBytes = neededBytes;
    this.prepare();
  }

  /** All pieces are out: the slot made ready for one more is given back. */
  finish(): void {
    this.pool.release(this.slot);
  }

  piece(length: number): void {
    const slot = this.slot;
    this.pool.length[slot] = length;
    this.prepare();
    this.enter(this.lane as Lane, slot, length);
  }

  private prepare(): void {
    this.slot = this.pool.take(this.neededBytes);
    this.buffer = this.pool.bytes(this.slot);
    this.offset = this.pool.offset[this.slot];
  }
}

function laneTo(from: NetworkInterface, bytes: Uint8Array, offset: number): Lane | undefined {
  for (const lane of from.lanes) {
    const address = lane.alias ?? lane.to.address;
    if (bytes[offset] >> 4 === 4) {
      if (address[2] === 0xffff && address[3] === word(bytes, offset + 16) && address[0] === 0) return lane;
    } else if (
      address[3] === word(bytes, offset + 36) &&
      address[2] === word(bytes, offset + 32) &&
      address[1] === word(bytes, offset + 28) &&
      address[0] === word(bytes, offset + 24)
    ) {
      return lane;
    }
  }
  return undefined;
}

function mustBeLost(lane: Lane, bytes: Uint8Array, offset: number): boolean {
  if (lane.synsToLose === 0 && lane.othersToLose === 0) return false;
  if (hasSyn(bytes, offset)) return lane.synsToLose > 0 && lane.synsToLose-- > 0;
  return lane.othersToLose > 0 && lane.othersToLose-- > 0;
}

function isSame(packet: Uint8Array, bytes: Uint8Array, start: number, length: number): boolean {
  if (packet.length !== length) return false;
  for (let i = 0; i < length; i++) if (packet[i] !== bytes[start + i]) return false;
  return true;
}

function word(bytes: Uint8Array, at: number): number {
  return (bytes[at] << 24) | (bytes[at + 1] << 16) | (bytes[at + 2] << 8) | bytes[at + 3];
}

// Hosts here send no IPv6 extension headers.
function tcpOffset(bytes: Uint8Array, offset: number): number {
  return bytes[offset] >> 4 === 4 ? (bytes[offset] & 15) << 2 : 40;
}

function headerBytes(bytes: Uint8Array, offset: number): number {
  const tcp = tcpOffset(bytes, offset);
  return tcp + ((bytes[offset + tcp + 12] >> 4) << 2);
}

function hasSyn(bytes: Uint8Array, offset: number): boolean {
  return (bytes[offset + tcpOffset(bytes, offset) + 13] & 2) !== 0;
}

const MTU_REPORT_MS = 5;
/** So many losses in a row are a span, not an accident. */
const SPAN_LOSSES = 5;
const NO_ROUTE = { arrivalMs: Number.NaN, note: 'no path' };
const MEANT_LOST = { arrivalMs: Number.NaN, note: 'one of the first' };
