// Decides the bytes of a packet that a script sends to the stack under test. Checksums are left 0: the
// interface says that its link has verified them. Independent of src/wire, which is under test.
// Before: run-script. After: machine.

import { type Addresses, addressBytes, addressHmac, bytesOf, type Flow, joinHmac, tokenOf } from './flow.ts';
import { FLAGS } from './live-packet.ts';
import { addressWord, after, bracketOf, capableFlags, has, numberOf, wordOf } from './option-words.ts';
import { type PacketEvent, type ScriptOption, Unsupported } from './script.ts';

export function buildPacket(event: PacketEvent, flow: Flow, addresses: Addresses): Buffer {
  const options = Buffer.concat(
    (event.options ?? []).map(option => buildOption(option, event, flow, addresses)),
  );
  const padding = Buffer.alloc((4 - (options.length % 4)) % 4);
  const tcp = Buffer.alloc(20);
  tcp.writeUInt16BE(flow.remotePort, 0);
  tcp.writeUInt16BE(flow.localPort, 2);
  const isSyn = event.flags.includes('S');
  tcp.writeUInt32BE(flow.remoteNumber(event.seq, isSyn), 4);
  const acknowledges = event.flags.includes('.');
  tcp.writeUInt32BE(acknowledges ? flow.localNumber(event.ack ?? 0, isSyn) : 0, 8);
  tcp[12] = ((20 + options.length + padding.length) / 4) << 4;
  tcp[13] = flagBits(event.flags);
  tcp.writeUInt16BE(event.window ?? 0, 14);
  tcp.writeUInt16BE(event.urgent, 18);
  const segment = Buffer.concat([tcp, options, padding, Buffer.alloc(event.length)]);
  return Buffer.concat([ipHeader(flow, segment.length, CODEPOINT[event.ecn ?? 'noecn'] ?? 0), segment]);
}

export function flagBits(text: string): number {
  let bits = 0;
  for (const [letter, bit] of FLAGS) if (text.includes(letter)) bits |= bit;
  if (/[\dA]/.test(text)) throw new Unsupported('accurate ECN');
  return bits;
}

function ipHeader(flow: Flow, length: number, ecn: number): Buffer {
  const source = addressBytes(flow.remote);
  const target = addressBytes(flow.local);
  const header = Buffer.alloc(source.length === 4 ? 12 : 8);
  if (source.length === 4) {
    header[0] = 0x45;
    header[1] = ecn;
    header.writeUInt16BE(20 + length, 2);
    header[8] = 64;
    header[9] = 6;
  } else {
    header[0] = 0x60;
    header[1] = ecn << 4;
    header.writeUInt16BE(length, 4);
    header[6] = 6;
    header[7] = 64;
  }
  return Buffer.concat([header, source, target]);
}

function buildOption(option: ScriptOption, event: PacketEvent, flow: Flow, addresses: Addresses): Buffer {
  switch (option.kind) {
    case 'nop':
      return Buffer.from([1]);
    case 'eol':
      return Buffer.from([0]);
    case 'mss':
      return Buffer.from([2, 4, Number(option.words[0]) >> 8, Number(option.words[0]) & 255]);
    case 'wscale':
      return Buffer.from([3, 3, Number(option.words[0])]);
    case 'sackOK':
      return Buffer.from([4, 2]);
    case 'TS':
      return Buffer.concat([
        Buffer.from([8, 10]),
        u32(after(option, 'val')),
        u32(flow.liveEcho(after(option, 'ecr'))),
      ]);
    case 'sack': {
      const edges = option.words.flatMap(word => word.split(':').map(Number));
      const blocks = edges.map(edge => u32((flow.localIsn ?? 0) + edge));
      return Buffer.concat([Buffer.from([5, 2 + 4 * blocks.length]), ...blocks]);
    }
    case 'md5':
      return Buffer.concat([Buffer.from([19, 18]), Buffer.from(option.words[0] ?? '', 'hex')]);
    case 'FO': {
      const cookie = Buffer.from(option.words[0] ?? '', 'hex');
      return Buffer.concat([Buffer.from([34, 2 + cookie.length]), cookie]);
    }
    case 'FOEXP': {
      const cookie = Buffer.from(option.words[0] ?? '', 'hex');
      return Buffer.concat([Buffer.from([254, 4 + cookie.length, 0xf9, 0x89]), cookie]);
    }
    default:
      return multipath(option, event, flow, addresses);
  }
}

function multipath(option: ScriptOption, event: PacketEvent, flow: Flow, addresses: Addresses): Buffer {
  switch (option.kind) {
    case 'mpcapable':
    case 'mp_capable':
      return capable(option, flow);
    case 'dss':
      return dss(option, event, flow);
    case 'mp_join_syn':
    case 'mp_join_syn_ack':
    case 'mp_join_ack':
      return join(option, flow);
    case 'add_address':
      return addAddress(option, flow, addresses);
    case 'remove_address': {
      const ids = bracketOf(option, 'address_id') ?? [wordOf(option, 'address_id') ?? '0'];
      return wrap(4, 0, ...ids.map(id => Buffer.from([Number(id)])));
    }
    case 'mp_prio': {
      const id = numberOf(option, 'address_id');
      const backup = numberOf(option, 'backup') ?? (has(option, 'backup') ? 1 : 0);
      return id === null ? wrap(5, backup) : wrap(5, backup, Buffer.from([id]));
    }
    case 'mp_fail': {
      const dsn = BigInt(wordOf(option, 'dsn8') ?? option.words[0] ?? 0);
      return wrap(6, 0, Buffer.from([0]), bytesOf(flow.keys?.dsn(dsn, false) ?? dsn));
    }
    case 'mp_fastclose': {
      const stated = wordOf(option, 'ckey') ?? wordOf(option, 'key') ?? wordOf(option, 'skey');
      return wrap(
        7,
        0,
        Buffer.from([0]),
        bytesOf(stated === null ? (flow.keys?.local ?? 0n) : BigInt(stated)),
      );
    }
    case 'mp_reset':
      return wrap(8, 0, Buffer.from([Number(option.words[0] ?? 0)]));
    default:
      throw new Unsupported(`option '${option.kind}'`);
  }
}

/** A whole option of kind 30. */
function wrap(subtype: number, nibble: number, ...parts: Buffer[]): Buffer {
  const body = Buffer.concat(parts);
  return Buffer.concat([Buffer.from([30, 3 + body.length, (subtype << 4) | nibble]), body]);
}

function capable(option: ScriptOption, flow: Flow): Buffer {
  const version = Number(/^v(\d+)$/.exec(option.words[0])?.[1] ?? 1);
  const parts: Buffer[] = [Buffer.from([capableFlags(option)])];
  const keys = flow.keys;
  for (const word of bracketOf(option, 'key') ?? []) {
    const [name, value] = word.split('=');
    if (value !== undefined && keys !== null) {
      keys.byName.set(name, BigInt(value));
      keys.remote = BigInt(value);
    }
    if (keys !== null && !keys.byName.has(name)) {
      // The peer's, and the script does not mind which.
      keys.byName.set(name, ANY_KEY);
      keys.remote = ANY_KEY;
    }
    parts.push(bytesOf(keys?.byName.get(name) ?? 0n));
  }
  const at = option.words.indexOf('mpcdatalen');
  if (at >= 0) parts.push(u16(Number(option.words[at + 1])));
  return wrap(0, version, ...parts);
}

function dss(option: ScriptOption, event: PacketEvent, flow: Flow): Buffer {
  let flags = has(option, 'fin') ? 16 : 0;
  const parts: Buffer[] = [];
  const number = (name: string, ofLocal: boolean): void => {
    const word = option.words.find(candidate => candidate.startsWith(name));
    const match = word === undefined ? null : /^\w+?([48])(?:=(-?\d+))?$/.exec(word);
    if (match === null) return;
    const value = flow.keys?.dsn(BigInt(match[2] ?? 0), ofLocal) ?? 0n;
    const is64 = match[1] === '8';
    flags |= name === 'dack' ? (is64 ? 3 : 1) : is64 ? 12 : 4;
    parts.push(is64 ? bytesOf(value) : u32(Number(BigInt.asUintN(32, value))));
  };
  number('dack', true);
  number('dsn', false);
  if ((flags & 4) !== 0) {
    const ssn = numberOf(option, 'ssn') ?? event.seq;
    parts.push(u32(ssn), u16(numberOf(option, 'dll') ?? 0));
    const checksum = numberOf(option, 'checksum');
    if (checksum !== null) parts.push(u16(checksum));
  }
  return wrap(2, 0, Buffer.from([flags]), ...parts);
}

function join(option: ScriptOption, flow: Flow): Buffer {
  const { keys } = flow;
  const local = keys?.local ?? 0n;
  const remote = keys?.remote ?? 0n;
  const backup = numberOf(option, 'backup') ?? (has(option, 'backup') ? 1 : 0);
  const id = Buffer.from([numberOf(option, 'address_id') ?? 0]);
  if (option.kind === 'mp_join_syn') {
    const stated = wordOf(option, 'token');
    const token = stated !== null && /^\d+$/.test(stated) ? Number(stated) : tokenOf(local);
    return wrap(1, backup, id, u32(token), u32(flow.remoteNonce));
  }
  const stated = wordOf(option, 'sender_hmac');
  const hmac = joinHmac(remote, local, flow.remoteNonce, flow.localNonce);
  if (stated !== null && /^\d+$/.test(stated)) hmac.fill(Number(stated));
  if (option.kind === 'mp_join_ack') return wrap(1, 0, Buffer.from([0]), hmac.subarray(0, 20));
  return wrap(1, backup, id, hmac.subarray(0, 8), u32(flow.remoteNonce));
}

function addAddress(option: ScriptOption, flow: Flow, addresses: Addresses): Buffer {
  const word = addressWord(option);
  if (word === null) throw new Unsupported('add_address without an address');
  const echo = has(option, 'addr_echo');
  if (word.literal !== null) addresses.byName.set(word.name, word.literal);
  const address = addressBytes(addresses.named(word.name, echo));
  const id = numberOf(option, 'address_id') ?? Number(/\d+$/.exec(word.name)?.[0] ?? 1);
  const port = numberOf(option, 'port') ?? 0;
  const parts = [Buffer.from([id]), address];
  if (port !== 0) parts.push(u16(port));
  if (!echo) parts.push(addressHmac(flow.keys?.remote ?? 0n, flow.keys?.local ?? 0n, id, address, port));
  return wrap(3, echo ? 1 : 0, ...parts);
}

function u32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value >>> 0);
  return bytes;
}

function u16(value: number): Buffer {
  return Buffer.from([(value >> 8) & 255, value & 255]);
}

const ANY_KEY = 0x0102_0304_0506_0708n;
const CODEPOINT: Readonly<Record<string, number>> = { noecn: 0, ect1: 1, ect0: 2, ect01: 2, ce: 3 };
