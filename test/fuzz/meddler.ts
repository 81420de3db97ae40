// A man in the middle who damages what the kernel sent, and forges more of it.
//
// Decides: which packets arrive changed, twice, late or not at all, and what is forged. Forgeries are packets that the
// kernel has really sent – in this session or any other – changed; signals of theirs – a join, an address, a reset, a
// fast close – put onto the newest segment of a live subflow, with its sequence numbers and now and then with its
// keys, so that they are believed; and ICMP errors about what our host sent last.

import type { Host } from '../../src/host/index.ts';
import {
  decodePacket,
  encodeHeaders,
  Flag,
  headerLength,
  Mp,
  Segment,
  writeChecksum,
} from '../../src/wire/index.ts';
import type { Chance } from './chance.ts';
import { mutate } from './mutate.ts';
import type { Recording } from './recording.ts';

/** Whom the packets are for: what can be known of it. */
export interface Victim {
  readonly host: Host;
  readonly lastSent: Uint8Array | null;
}

export class Meddler {
  /** Packets that did not arrive as they were. */
  meddled = 0;
  /** One in so many is meddled with. */
  readonly #rarity: number;
  readonly #chance: Chance;
  /** What arrived lately. */
  readonly #recent: Uint8Array[] = [];
  readonly #signals: readonly Uint8Array[];
  /** Kept back, to arrive after the next. */
  #late: Uint8Array[] = [];
  readonly #live: Segment = new Segment();
  readonly #segment: Segment = new Segment();

  constructor(chance: Chance, signals: readonly Uint8Array[]) {
    this.#chance = chance;
    this.#rarity = chance.pick([2, 5, 20, 60]);
    this.#signals = signals;
  }

  /** What arrives for one packet of the kernel's. */
  arrivals(packet: Uint8Array, victim: Victim): readonly Uint8Array[] {
    const chance = this.#chance;
    if (this.#recent.length >= RECENT_PACKETS) this.#recent.shift();
    this.#recent.push(packet);
    const late = this.#late;
    this.#late = [];
    if (!chance.oneIn(this.#rarity)) return [packet, ...late];
    this.meddled++;
    switch (chance.below(11)) {
      case 0:
        return late;
      case 1:
        return [packet, packet, ...late];
      case 2:
        this.#late.push(packet);
        return late;
      case 3:
        return [mutate(packet, chance, true), ...late];
      case 4:
        return [mutate(packet, chance, true), packet, ...late];
      case 5:
        return [packet, mutate(packet, chance, true), ...late];
      case 6:
        return [chance.pick(this.#recent), packet, ...late];
      case 7:
        return [...unreachable(victim.lastSent, chance), packet, ...late];
      case 8:
        return [...this.#split(packet), ...late];
      default:
        return [packet, ...late, ...this.#forge(1 + chance.below(4), victim)];
    }
  }

  /** In two, with the options of the whole on both; now and then the first is changed, or comes last. */
  #split(packet: Uint8Array): Uint8Array[] {
    const chance = this.#chance;
    const s = this.#segment;
    if (!decodePacket(s, packet, 0, packet.length) || s.payloadLength < 2) return [packet];
    const { seq, payloadOffset, payloadLength } = s;
    const cut = 1 + chance.below(payloadLength - 1);
    const pieces: Uint8Array[] = [
      [0, cut],
      [cut, payloadLength],
    ].map(([from, to]) => {
      s.seq = (seq + from) >>> 0;
      s.payloadLength = to - from;
      const piece = new Uint8Array(headerLength(s) + s.payloadLength);
      piece.set(packet.subarray(payloadOffset + from, payloadOffset + to), encodeHeaders(s, piece, 0));
      writeChecksum(piece, 0, piece.length);
      return piece;
    });
    if (chance.oneIn(4)) pieces[0] = mutate(pieces[0], chance, true);
    return chance.oneIn(4) ? pieces.reverse() : pieces;
  }

  #forge(count: number, victim: Victim): Uint8Array[] {
    const chance = this.#chance;
    return Array.from({ length: count }, () => {
      const packet = chance.oneIn(3) ? chance.pick(this.#recent) : this.#graft(victim);
      return chance.oneIn(2) ? mutate(packet, chance, !chance.oneIn(8)) : packet;
    });
  }

  /** A signal of some connection in the place of the next segment of a live one. */
  #graft({ host }: Victim): Uint8Array {
    const chance = this.#chance;
    const signal = chance.pick(this.#signals);
    const at = this.#recent[this.#recent.length - 1 - chance.below(Math.min(16, this.#recent.length))];
    const s = this.#segment;
    const live = this.#live;
    if (!decodePacket(s, signal, 0, signal.length) || !decodePacket(live, at, 0, at.length)) return signal;
    for (const field of PLACE) s[field] = live[field] as never;
    s.hasTimestamps &&= live.hasTimestamps;
    s.seq = (live.seq + live.payloadLength) >>> 0;
    // A join begins a subflow of its own.
    if ((s.flags & Flag.SYN) !== 0 && chance.oneIn(2)) s.srcPort = 1024 + chance.below(60_000);
    s.payloadLength = 0;
    this.#unlock(s, host);
    try {
      const bytes = new Uint8Array(headerLength(s));
      encodeHeaders(s, bytes, 0);
      writeChecksum(bytes, 0, bytes.length);
      return bytes;
    } catch {
      // Options of two packets may be more than fit into one.
      return signal;
    }
  }

  /** Puts in the secrets of one of our connections: a token for a join, a key for a fast close. */
  #unlock(s: Segment, host: Host): void {
    const chance = this.#chance;
    const connections = [...host.connections];
    if (connections.length === 0 || chance.oneIn(2)) return;
    const key = chance.pick(connections).multipathSide?.localKey;
    if (!key) return;
    s.joinToken = key.token;
    // A right key ends the connection, and the fun.
    if (!chance.oneIn(8)) return;
    s.fastcloseKeyHi = key.hi;
    s.fastcloseKeyLo = key.lo;
  }
}

/** Packets that say more than data does. */
export function signalsOf(corpus: readonly Recording[]): Uint8Array[] {
  const s = new Segment();
  const signals: Uint8Array[] = [];
  for (const { happenings } of corpus) {
    for (const happening of happenings) {
      if (happening.op !== 'in') continue;
      const { packet } = happening;
      if (!decodePacket(s, packet, 0, packet.length)) continue;
      if ((s.mp & ~Mp.DSS) !== 0 || (s.flags & (Flag.SYN | Flag.RST | Flag.FIN)) !== 0) signals.push(packet);
    }
  }
  return signals;
}

/** An ICMP error, as a router or the peer could send it, about a packet: no answer to nothing. */
function unreachable(about: Uint8Array | null, chance: Chance): Uint8Array[] {
  if (about === null) return [];
  const four = about[0] >> 4 === 4;
  const header = four ? 20 : 40;
  const quoted = about.subarray(0, Math.min(about.length, chance.pick([header, header + 8, 576, 1500])));
  const packet = new Uint8Array(header + 8 + quoted.length);
  const view = new DataView(packet.buffer);
  packet.set(about.subarray(0, header));
  view.setUint16(four ? 2 : 4, packet.length - (four ? 0 : 40));
  packet[four ? 9 : 6] = four ? 1 : 58;
  const [addresses, size] = four ? [12, 4] : [8, 16];
  packet.copyWithin(addresses + size, addresses, addresses + size);
  packet.set(about.subarray(addresses + size, addresses + 2 * size), addresses);
  packet[header] = four ? chance.pick([3, 3, 4, 11, 12]) : chance.pick([1, 2, 2, 3, 4]);
  packet[header + 1] = chance.below(16);
  view.setUint32(header + 4, chance.pick([0, 1, 68, 576, 1280, 1400, 65_535, chance.next()]));
  packet.set(quoted, header + 8);
  if (four) view.setUint16(10, 0);
  if (four) view.setUint16(10, ~sum(packet, 0, 20, 0));
  const pseudo = four ? 0 : sum(packet, 8, 40, 58 + packet.length - 40);
  view.setUint16(header + 2, ~sum(packet, header, packet.length, pseudo));
  return [chance.oneIn(3) ? mutate(packet, chance, false) : packet];
}

/** The sum of the Internet checksum (RFC 1071). */
function sum(bytes: Uint8Array, from: number, to: number, start: number): number {
  let total = start;
  for (let at = from; at < to; at += 2) total += (bytes[at] << 8) | (at + 1 < to ? bytes[at + 1] : 0);
  while (total > 0xffff) total = (total & 0xffff) + (total >>> 16);
  return total;
}

/** Where a segment is in the world, and in its subflow. */
const PLACE = [
  'ipVersion',
  'src0',
  'src1',
  'src2',
  'src3',
  'dst0',
  'dst1',
  'dst2',
  'dst3',
  'srcPort',
  'dstPort',
  'ack',
  'window',
  'tsVal',
  'tsEcr',
] as const;
const RECENT_PACKETS = 256;
