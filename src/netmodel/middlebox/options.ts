// Boxes that act on TCP options, and on packets for their options: taken out, turned into an end marker,
// clamped, damaged, mirrored, of another version; packets dropped or answered with a RST because of them.
// RFC 8684 §3.1, §3.2, §3.7, §6. Before: plan.ts. After: the path.

import type { RandomSource } from '../random.ts';
import {
  type Direction,
  isMptcp,
  type Leave,
  type Match,
  Matcher,
  MPTCP_KIND,
  opposite,
  PassingBox,
} from './box.ts';
import {
  answerTo,
  END_OF_OPTIONS,
  join,
  NO_OPERATION,
  optionBytes,
  type PacketShape,
  read16,
  rebuilt,
  repair,
  shapeOf,
  tcpOptions,
  write16,
} from './tcp-packet.ts';

/** Acts on the packets a Match accepts; passes the others on. */
abstract class MatchingBox extends PassingBox {
  private readonly matcher: Matcher;

  constructor(options: { match: Match }) {
    super();
    this.matcher = new Matcher(options.match);
  }

  override pass(
    packet: Uint8Array,
    direction: Direction,
    now: number,
    random: RandomSource,
    leave: Leave,
  ): void {
    const shape = shapeOf(packet);
    const isMeant =
      shape !== undefined &&
      this.concerns(shape) &&
      this.matcher.accepts(packet, shape, direction, now, random);
    if (isMeant) this.matched(packet, shape, direction, leave);
    else leave(packet, direction);
  }

  /** Whether the Match is asked at all: it counts and draws. */
  protected concerns(_shape: PacketShape): boolean {
    return true;
  }

  protected abstract matched(
    packet: Uint8Array,
    shape: PacketShape,
    direction: Direction,
    leave: Leave,
  ): void;
}

/** Overwrites MPTCP options with padding, or with end markers, which hide what follows as well. */
export class OptionStripper extends MatchingBox {
  private readonly subtypes: readonly number[];
  private readonly kind: number;
  private readonly filler: number;

  constructor(options: { match: Match; subtypes?: readonly number[]; kind?: number; asEnd?: boolean }) {
    super(options);
    this.subtypes = options.subtypes ?? [];
    this.kind = options.kind ?? MPTCP_KIND;
    this.filler = options.asEnd ? END_OF_OPTIONS : NO_OPERATION;
  }

  protected override matched(
    packet: Uint8Array,
    shape: PacketShape,
    direction: Direction,
    leave: Leave,
  ): void {
    let found = false;
    for (const option of tcpOptions(packet, shape)) {
      const meant = this.kind === MPTCP_KIND ? isMptcp(option, this.subtypes) : option.kind === this.kind;
      if (!meant) continue;
      found = true;
      packet.fill(this.filler, option.at, option.at + option.length);
    }
    if (found) repair(packet);
    leave(packet, direction);
  }
}

/** Drops packets. */
export class Dropper extends MatchingBox {
  protected override matched(): void {}
}

/** Answers packets with a RST, and tells the other end too when that knows the connection. */
export class Resetter extends MatchingBox {
  /** A RST is not answered (RFC 9293 §3.5.2). */
  protected override concerns(shape: PacketShape): boolean {
    return !shape.isRst;
  }

  protected override matched(
    packet: Uint8Array,
    shape: PacketShape,
    direction: Direction,
    leave: Leave,
  ): void {
    const length = shape.payloadLength + (shape.isSyn ? 1 : 0) + (shape.isFin ? 1 : 0);
    const changes = shape.isAck
      ? { seq: shape.ack, ack: 0, flags: RST }
      : { seq: 0, ack: (shape.seq + length) >>> 0, flags: RST | ACK };
    leave(answerTo(packet, shape, changes), opposite(direction));
    if (shape.isSyn) return;
    const options = new Uint8Array(0);
    const payload = new Uint8Array(0);
    leave(rebuilt(packet, shape, { flags: RST, options, payload }), direction);
  }
}

/** Flips a bit of the HMAC of joins. */
export class HmacDamager extends MatchingBox {
  protected override matched(
    packet: Uint8Array,
    shape: PacketShape,
    direction: Direction,
    leave: Leave,
  ): void {
    for (const option of tcpOptions(packet, shape)) {
      // 16 bytes on a SYN/ACK, 24 on the third ACK; the HMAC follows four bytes of header.
      if (isMptcp(option, [MP_JOIN]) && option.length >= 16) packet[option.at + 6] ^= 0x10;
    }
    repair(packet);
    leave(packet, direction);
  }
}

/** Puts the MP_CAPABLE of a SYN, or something of the form of an answer, into the SYN/ACK. */
export class Mirror extends PassingBox {
  private readonly asAnswer: boolean;
  private option: Uint8Array = new Uint8Array(0);

  constructor(options: { asAnswer: boolean }) {
    super();
    this.asAnswer = options.asAnswer;
  }

  override pass(
    packet: Uint8Array,
    direction: Direction,
    _now: number,
    _random: RandomSource,
    leave: Leave,
  ): void {
    const shape = shapeOf(packet);
    if (shape?.isSyn) {
      const options = tcpOptions(packet, shape);
      const capable = options.find(option => isMptcp(option, [MP_CAPABLE]));
      if (!shape.isAck && capable !== undefined) this.option = optionBytes(packet, [capable]);
      if (shape.isAck && this.option.length > 0) {
        const others = options.filter(option => !isMptcp(option));
        const key = Uint8Array.of(9, 8, 7, 6, 5, 4, 3, 2);
        const mirrored = this.asAnswer ? join([this.option, key]) : this.option;
        if (this.asAnswer) mirrored[1] = mirrored.length;
        leave(rebuilt(packet, shape, { options: join([optionBytes(packet, others), mirrored]) }), direction);
        return;
      }
    }
    leave(packet, direction);
  }
}

/** Makes the MP_CAPABLE of a SYN one of version 0, with its key, as old hosts send it (RFC 6824 §3.1). */
export class VersionZero extends PassingBox {
  override pass(
    packet: Uint8Array,
    direction: Direction,
    _now: number,
    _random: RandomSource,
    leave: Leave,
  ): void {
    const shape = shapeOf(packet);
    if (shape?.isSyn && !shape.isAck) {
      const options = tcpOptions(packet, shape);
      if (options.some(option => isMptcp(option, [MP_CAPABLE]))) {
        const others = optionBytes(
          packet,
          options.filter(option => !isMptcp(option)),
        );
        const old = Uint8Array.of(MPTCP_KIND, 12, 0x00, 0x01, 1, 2, 3, 4, 5, 6, 7, 8);
        leave(rebuilt(packet, shape, { options: join([others, old]) }), direction);
        return;
      }
    }
    leave(packet, direction);
  }
}

/** Sends every SYN with an MPTCP option a second time without it, or ahead of it. */
export class SynDoubler extends PassingBox {
  private readonly plainFirst: boolean;

  constructor(options: { plainFirst: boolean }) {
    super();
    this.plainFirst = options.plainFirst;
  }

  override pass(
    packet: Uint8Array,
    direction: Direction,
    _now: number,
    _random: RandomSource,
    leave: Leave,
  ): void {
    const shape = shapeOf(packet);
    const options = shape?.isSyn ? tcpOptions(packet, shape) : [];
    if (shape === undefined || !options.some(option => isMptcp(option))) {
      leave(packet, direction);
      return;
    }
    const others = options.filter(option => !isMptcp(option));
    const plain = rebuilt(packet, shape, { options: optionBytes(packet, others) });
    if (this.plainFirst) leave(plain, direction);
    leave(packet, direction);
    if (!this.plainFirst) leave(plain, direction);
  }
}

/** Lowers the maximum segment size that SYNs announce. */
export class MssClamp extends PassingBox {
  private readonly mostBytes: number;

  constructor(options: { mostBytes: number }) {
    super();
    this.mostBytes = options.mostBytes;
  }

  override pass(
    packet: Uint8Array,
    direction: Direction,
    _now: number,
    _random: RandomSource,
    leave: Leave,
  ): void {
    const shape = shapeOf(packet);
    if (shape?.isSyn) {
      const option = tcpOptions(packet, shape).find(({ kind }) => kind === MSS_KIND);
      if (option !== undefined && read16(packet, option.at + 2) > this.mostBytes) {
        write16(packet, option.at + 2, this.mostBytes);
        repair(packet);
      }
    }
    leave(packet, direction);
  }
}

/** Lowers the window field of every packet but SYNs, which are not scaled. */
export class WindowShrinker extends PassingBox {
  private readonly most: number;

  constructor(options: { most: number }) {
    super();
    this.most = options.most;
  }

  override pass(
    packet: Uint8Array,
    direction: Direction,
    _now: number,
    _random: RandomSource,
    leave: Leave,
  ): void {
    const shape = shapeOf(packet);
    if (shape !== undefined && !shape.isSyn && read16(packet, shape.tcp + 14) > this.most) {
      write16(packet, shape.tcp + 14, this.most);
      repair(packet);
    }
    leave(packet, direction);
  }
}

const RST = 4;
const ACK = 16;
const MSS_KIND = 2;
const MP_CAPABLE = 0;
const MP_JOIN = 1;
