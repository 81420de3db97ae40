// Damages packets as a hostile or broken network could: bits, fields, options, lengths – and fields that still
// decode, with the meaning changed, because random bytes alone seldom get past the first checks.

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

const EDGES = [0, 1, 2, 0x7f, 0x80, 0xff, 0x7fff, 0x8000, 0xffff, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff];
const segment = new Segment();

/** A changed copy. `repair`: the TCP checksum is made right again where the packet still is one. */
export function mutate(packet: Uint8Array, chance: Chance, repair: boolean): Uint8Array {
  const changed = chance.below(3) === 0 ? bytewise(packet, chance) : fieldwise(packet, chance);
  if (repair && decodePacket(segment, changed, 0, changed.length)) writeChecksum(changed, 0, changed.length);
  return changed;
}

function bytewise(packet: Uint8Array, chance: Chance): Uint8Array {
  let bytes = Uint8Array.from(packet);
  const headers = Math.min(bytes.length, 100);
  for (let n = 1 + chance.below(4); n > 0; n--) {
    const at = chance.below(headers);
    switch (chance.below(6)) {
      case 0:
        bytes[at] ^= 1 << chance.below(8);
        break;
      case 1:
        bytes[at] = chance.below(256);
        break;
      case 2:
        bytes[at] = chance.pick(EDGES) & 255;
        break;
      case 3:
        bytes = bytes.slice(0, chance.below(bytes.length + 1));
        break;
      case 4: {
        // A stretch of the header somewhere else: options in wrong places.
        const from = chance.below(headers);
        bytes.copyWithin(at, from, Math.min(headers, from + chance.below(20)));
        break;
      }
      default: {
        const longer = new Uint8Array(bytes.length + chance.below(40));
        longer.set(bytes);
        bytes = longer;
      }
    }
    if (bytes.length === 0) break;
  }
  return bytes;
}

/** Decodes, changes meaning, encodes. Combinations that the encoder refuses become damaged bytes instead. */
function fieldwise(packet: Uint8Array, chance: Chance): Uint8Array {
  const s = segment;
  if (!decodePacket(s, packet, 0, packet.length)) return bytewise(packet, chance);
  const payload = packet.slice(s.payloadOffset, s.payloadOffset + s.payloadLength);
  for (let n = 1 + chance.below(3); n > 0; n--) changeField(s, chance);
  s.payloadLength = chance.oneIn(8) ? chance.below(payload.length + 1) : payload.length;
  try {
    const bytes = new Uint8Array(headerLength(s) + s.payloadLength);
    const at = encodeHeaders(s, bytes, 0);
    bytes.set(payload.subarray(0, s.payloadLength), at);
    writeChecksum(bytes, 0, bytes.length);
    return bytes;
  } catch {
    return bytewise(packet, chance);
  }
}

/** Near the old value, or an edge, or anything. */
function shifted(value: number, chance: Chance): number {
  switch (chance.below(4)) {
    case 0:
      return (value + chance.below(5) - 2) >>> 0;
    case 1:
      return (value + chance.below(200_000) - 100_000) >>> 0;
    case 2:
      return (value + chance.pick(EDGES)) >>> 0;
    default:
      return chance.next();
  }
}

function changeField(s: Segment, chance: Chance): void {
  switch (chance.below(17)) {
    case 0:
      s.seq = shifted(s.seq, chance);
      break;
    case 1:
      s.ack = shifted(s.ack, chance);
      break;
    case 2:
      s.flags ^= 1 << chance.below(8);
      break;
    case 3:
      s.flags = chance.pick([0, Flag.SYN, Flag.ACK, Flag.RST, Flag.FIN | Flag.ACK, Flag.SYN | Flag.ACK, 255]);
      break;
    case 4:
      s.window = chance.pick([0, 1, chance.below(65_536), 65_535]);
      break;
    case 5:
      s.hasTimestamps = !chance.oneIn(3);
      s.tsVal = shifted(s.tsVal, chance);
      s.tsEcr = shifted(s.tsEcr, chance);
      break;
    case 6:
      s.sackCount = chance.below(4);
      for (let i = 0; i < s.sackCount; i++) {
        s.sackLeft[i] = shifted(s.ack, chance);
        s.sackRight[i] = shifted(s.sackLeft[i], chance);
      }
      break;
    case 7:
      s.mss = chance.pick([0, 1, 40, 536, 65_535]);
      break;
    case 8:
      s.windowScale = chance.below(16) - 1;
      break;
    case 9:
      s.mp ^= 1 << chance.below(9);
      break;
    case 10:
      s.mp = chance.pick([
        0,
        Mp.DSS,
        Mp.CAPABLE,
        Mp.JOIN,
        Mp.FASTCLOSE,
        Mp.FAIL,
        Mp.FAIL | Mp.DSS,
        Mp.TCPRST,
      ]);
      break;
    case 11:
      s.dsnLo = shifted(s.dsnLo, chance);
      s.dsnHi = chance.oneIn(3) ? shifted(s.dsnHi, chance) : s.dsnHi;
      break;
    case 12:
      s.dataAckLo = shifted(s.dataAckLo, chance);
      s.dataAckHi = chance.oneIn(3) ? shifted(s.dataAckHi, chance) : s.dataAckHi;
      break;
    case 13:
      s.ssn = shifted(s.ssn, chance);
      break;
    case 14:
      s.dataLength = chance.pick([0, 1, s.dataLength + 1, chance.below(65_536), 65_535]);
      break;
    case 15:
      s.dssFlags ^= 1 << chance.below(5);
      break;
    default:
      s.checksum = chance.pick([-1, 0, chance.below(65_536)]);
      s.joinAddressId = s.addAddrId = chance.below(256);
      s.removeCount = 1 + chance.below(8);
      for (let i = 0; i < 8; i++) s.removeIds[i] = chance.below(8);
      s.capableFlags ^= 1 << chance.below(8);
  }
}
