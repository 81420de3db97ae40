// Random bytes and mutated real packets into one endpoint that listens and has connections of its own.

import assert from 'node:assert/strict';
import { type Connection, Host } from '../../src/host/index.ts';
import {
  decodePacket,
  encodeHeaders,
  Flag,
  headerLength,
  Mp,
  Segment,
  writeChecksum,
} from '../../src/wire/index.ts';
import { seededEntropy } from '../tcp/peer.ts';
import { Chance } from './chance.ts';
import { mutate } from './mutate.ts';
import { Pair, PORT } from './pair.ts';

const MAX_HALF_OPEN = 64;
const BACKLOG = 32;
const MAX_HELD = 32;

/** Packets of whole exchanges: handshakes, joins, data, signals, closes, resets; MPTCP and plain. */
export function realPackets(seed: number): Uint8Array[] {
  const packets: Uint8Array[] = [];
  for (const multipath of [true, false]) {
    for (let i = 0; i < 4; i++) {
      const chance = new Chance(seed + i);
      const hook = (packet: Uint8Array): Uint8Array[] => {
        packets.push(packet.slice(0, Math.min(packet.length, 3000)));
        return [packet];
      };
      const pair = new Pair({ chance, multipath, checksumOffload: false, hook });
      pair.live(300);
      pair.abortAll();
      pair.assertQuiet();
    }
  }
  return packets;
}

export class Endpoint {
  packets = 0;
  readonly host: Host;
  private readonly chance: Chance;
  private readonly corpus: readonly Uint8Array[];
  private readonly held: Connection[] = [];
  private readonly listeners: ReturnType<Host['listen']>[];
  private readonly out: Uint8Array = new Uint8Array(70_000);
  /** What the host itself sent lately: its numbers make mutants that reach its connections. */
  private readonly answers: Uint8Array[] = [];
  private now = 0;

  constructor(seed: number, corpus: readonly Uint8Array[]) {
    this.chance = new Chance(seed);
    this.corpus = corpus.filter(packet => interfaceOf(packet) > 0);
    const config = {
      maxHalfOpen: MAX_HALF_OPEN,
      backlog: BACKLOG,
      sendBufferBytes: 50_000,
      receiveBufferBytes: 50_000,
    };
    this.host = new Host({ entropy: seededEntropy(seed), config });
    for (const address of ['192.0.2.2', '198.51.100.2']) {
      this.host.addInterface({ address, checksumOffload: this.chance.oneIn(2) });
    }
    this.listeners = [PORT, PORT + 1].map(port => this.host.listen({ port, multipath: port === PORT }));
  }

  feed(): void {
    const { chance } = this;
    const bytes = this.nextPacket();
    const interfaceId = interfaceOf(bytes) || 1 + chance.below(2);
    this.host.receive(interfaceId, bytes, 0, bytes.length, this.now);
    this.packets++;
    if (chance.oneIn(4)) this.turn();
  }

  /** Time without packets: everything that strangers left behind must go. */
  assertQuiet(): void {
    for (const connection of this.held) connection.abort(this.now);
    for (const listener of this.listeners) listener.close(this.now);
    const end = this.now + 3_600_000;
    this.flush();
    while (this.host.nextDeadline() !== Infinity) {
      this.now = Math.max(this.now + 0.001, this.host.nextDeadline());
      assert.ok(this.now < end, 'a timer runs for ever');
      this.host.expire(this.now);
      this.flush();
      for (const connection of [...this.host.connections])
        if (connection.connected) connection.abort(this.now);
      this.flush();
    }
    assert.equal([...this.host.connections].length, 0, 'a connection is left');
    for (const listener of this.listeners) assert.equal(listener.halfOpen, 0);
  }

  private nextPacket(): Uint8Array {
    const { chance } = this;
    switch (chance.below(8)) {
      case 0: {
        const bytes = new Uint8Array(chance.below(200));
        for (let i = 0; i < bytes.length; i++) bytes[i] = chance.next() >>> 8;
        if (bytes.length > 0 && chance.oneIn(2)) bytes[0] = chance.pick([0x45, 0x46, 0x60]);
        return bytes;
      }
      case 1:
      case 2:
      case 3:
      case 4: {
        if (this.answers.length === 0) return chance.pick(this.corpus);
        const recent = Math.max(0, this.answers.length - 1 - chance.below(8));
        const answer = reply(this.answers[recent], chance, this.now);
        return chance.oneIn(3) ? mutate(answer, chance, true) : answer;
      }
      case 5:
        return chance.pick(this.corpus);
      default:
        return mutate(chance.pick(this.corpus), chance, !chance.oneIn(4));
    }
  }

  private turn(): void {
    const { chance, host } = this;
    this.now += chance.pick([0, 0, 1, 40, 300, chance.oneIn(50) ? 70_000 : 5]);
    for (let n = 0; host.nextDeadline() <= this.now; n++) {
      assert.ok(n < 10_000, 'a deadline does not move');
      host.expire(this.now);
      this.flush();
    }
    this.flush();
    if (chance.oneIn(100)) this.connect();
    if (this.held.length > 0) {
      const connection = chance.pick(this.held);
      if (chance.oneIn(2)) connection.read(this.out, 0, 5000, this.now);
      else connection.write(this.out, 0, chance.below(5000), this.now);
    }
    while (this.held.length > MAX_HELD) (this.held.shift() as Connection).abort(this.now);
    this.flush();
    let count = 0;
    for (const _ of host.connections) count++;
    const most = 2 * (MAX_HALF_OPEN + BACKLOG) + MAX_HELD;
    assert.ok(count <= most, `${count} connections where ${most} are allowed`);
  }

  private connect(): void {
    const remote = { address: '192.0.2.1', port: 1 + this.chance.below(60_000) };
    const options = { remote, paths: [{ interfaceId: 1 }], multipath: this.chance.oneIn(2) };
    this.held.push(this.host.connect(options, this.now));
  }

  private flush(): void {
    const { host } = this;
    for (let end = host.nextReady(); end !== undefined; end = host.nextReady()) end.takeEvents();
    for (const listener of this.listeners) {
      for (let c = listener.accept(); c !== undefined; c = listener.accept()) this.held.push(c);
    }
    for (let n = 0; ; n++) {
      assert.ok(n < 5_000, 'the host does not stop sending');
      const length = host.transmit(this.out, 0, this.now);
      if (length === 0) break;
      if (this.answers.length >= 64) this.answers.shift();
      this.answers.push(this.out.slice(0, Math.min(length, 3000)));
    }
    while (host.nextReleased() !== undefined);
  }
}

/**
 * What an honest peer could answer to a packet of the host: handshakes complete, data is acknowledged, some sent.
 * With the mutants of these it is the host's own connections that are tried.
 */
function reply(packet: Uint8Array, chance: Chance, now: number): Uint8Array {
  const s = segment;
  if (!decodePacket(s, packet, 0, packet.length)) return packet;
  const { seq, ack, flags, tsVal, mp } = s;
  [s.src0, s.dst0] = [s.dst0, s.src0];
  [s.src1, s.dst1] = [s.dst1, s.src1];
  [s.src2, s.dst2] = [s.dst2, s.src2];
  [s.src3, s.dst3] = [s.dst3, s.src3];
  [s.srcPort, s.dstPort] = [s.dstPort, s.srcPort];
  const span = s.payloadLength + ((flags & Flag.SYN) !== 0 ? 1 : 0) + ((flags & Flag.FIN) !== 0 ? 1 : 0);
  s.ack = (seq + span) >>> 0;
  s.seq = (flags & Flag.ACK) !== 0 ? ack : chance.next();
  s.flags = Flag.ACK;
  s.tsVal = Math.floor(now) + 1_000_000;
  s.tsEcr = tsVal;
  s.payloadLength = 0;
  if ((flags & Flag.SYN) !== 0) {
    answerSyn(s, (flags & Flag.ACK) !== 0, chance);
  } else {
    if (chance.oneIn(2)) s.payloadLength = chance.below(1400);
    if (chance.oneIn(20)) s.flags |= Flag.FIN;
    if ((mp & ~Mp.DSS) !== 0) s.mp = 0;
  }
  try {
    const bytes = new Uint8Array(headerLength(s) + s.payloadLength);
    encodeHeaders(s, bytes, 0);
    writeChecksum(bytes, 0, bytes.length);
    return bytes;
  } catch {
    return packet;
  }
}

function answerSyn(s: Segment, hasAck: boolean, chance: Chance): void {
  if (!hasAck) {
    s.flags = Flag.SYN | Flag.ACK;
    s.capableLength = 12;
    s.joinLength = 16;
    s.senderKeyHi = chance.next();
    s.senderKeyLo = chance.next();
    return;
  }
  s.mss = 0;
  s.windowScale = -1;
  s.sackPermitted = false;
  s.mp &= Mp.CAPABLE;
  s.capableLength = 20;
  s.receiverKeyHi = s.senderKeyHi;
  s.receiverKeyLo = s.senderKeyLo;
  s.senderKeyHi = chance.next();
  s.senderKeyLo = chance.next();
}

/** The host of the endpoint that a packet of the corpus is for; 0 when it is for the other side. */
function interfaceOf(packet: Uint8Array): number {
  if (packet.length < 20 || packet[0] >> 4 !== 4) return 0;
  const last = packet[19];
  if (last !== 2) return 0;
  return packet[16] === 192 ? 1 : 2;
}

const segment = new Segment();
