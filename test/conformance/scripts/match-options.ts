// Decides whether one option that the stack sent is the one that the script has in that place.
// Before: match-packet. After: flow, where what is learnt from it is kept.

import { type Addresses, addressHmac, addressText, type Flow, joinHmac, Keys, tokenOf } from './flow.ts';
import { type LiveOption, readDss } from './live-packet.ts';
import { addressWord, after, bracketOf, capableFlags, has, numberOf, wordOf } from './option-words.ts';
import { type ScriptOption, Unsupported } from './script.ts';

export function matchOption(
  option: ScriptOption,
  live: LiveOption,
  flow: Flow,
  addresses: Addresses,
  echoes: boolean,
): string | null {
  const kind = NUMBERS[option.kind];
  if (kind === undefined) throw new Unsupported(`option '${option.kind}'`);
  if (kind !== live.kind) return `there is option ${live.kind} where ${option.kind} is expected`;
  const { data } = live;
  switch (option.kind) {
    case 'nop':
    case 'eol':
    case 'sackOK':
      return null;
    case 'mss':
      return same('mss', data.readUInt16BE(0), Number(option.words[0]));
    case 'wscale':
      return same('wscale', data[0], Number(option.words[0]));
    case 'TS':
      flow.noteTimestamp(after(option, 'val'), data.readUInt32BE(0));
      return echoes ? same('ecr', data.readUInt32BE(4), after(option, 'ecr')) : null;
    case 'sack':
      return matchSack(option, data, flow);
    case 'FO':
      return same('cookie', data.toString('hex'), option.words[0] ?? '');
    case 'FOEXP':
      return same('cookie', data.toString('hex'), `f989${option.words[0] ?? ''}`);
    default:
      return matchMultipath(option, data, flow, addresses);
  }
}

function same(what: string, live: unknown, expected: unknown): string | null {
  return live === expected ? null : `${what} is ${String(live)}, not ${String(expected)}`;
}

function matchSack(option: ScriptOption, data: Buffer, flow: Flow): string | null {
  const blocks: string[] = [];
  for (let at = 0; at < data.length; at += 8) {
    const edges = [data.readUInt32BE(at), data.readUInt32BE(at + 4)].map(
      edge => (edge - flow.remoteIsn) >>> 0,
    );
    blocks.push(edges.join(':'));
  }
  return same('sack', blocks.join(' '), option.words.join(' '));
}

function matchMultipath(option: ScriptOption, data: Buffer, flow: Flow, addresses: Addresses): string | null {
  const subtype = data[0] >> 4;
  if (SUBTYPES[option.kind] !== subtype)
    return `there is MPTCP subtype ${subtype} where ${option.kind} is expected`;
  switch (option.kind) {
    case 'dss':
      return matchDss(option, data, flow);
    case 'mpcapable':
    case 'mp_capable':
      return matchCapable(option, data, flow);
    case 'add_address':
      return matchAddAddress(option, data, flow, addresses);
    case 'remove_address':
      return same(
        'ids',
        [...data.subarray(1)].join(),
        (bracketOf(option, 'address_id') ?? [wordOf(option, 'address_id')]).join(),
      );
    case 'mp_prio':
      return same('backup', data[0] & 1, numberOf(option, 'backup') ?? (has(option, 'backup') ? 1 : 0));
    case 'mp_fail': {
      const dsn = BigInt(wordOf(option, 'dsn8') ?? option.words[0] ?? 0);
      return same('dsn', data.readBigUInt64BE(2), flow.keys?.dsn(dsn, false));
    }
    case 'mp_fastclose':
      return same('key', data.readBigUInt64BE(2), flow.keys?.remote);
    case 'mp_reset':
      return same('reason', data[1], Number(option.words[0]));
    default:
      return matchJoin(option, data, flow);
  }
}

function matchDss(option: ScriptOption, data: Buffer, flow: Flow): string | null {
  const dss = readDss(data);
  for (const [name, live, bytes, ofLocal] of [
    ['dack', dss.ack, dss.ackBytes, false],
    ['dsn', dss.dsn, dss.dsnBytes, true],
  ] as const) {
    const word = option.words.find(candidate => candidate.startsWith(name));
    if (word === undefined) {
      if (live !== null) return `there is a ${name}`;
      continue;
    }
    const match = /^\w+?([48])(?:=(-?\d+))?$/.exec(word);
    if (match === null) throw new Unsupported(`'${word}' in dss`);
    if (live === null) return `there is no ${name}`;
    if (bytes !== Number(match[1])) return `${name} has ${bytes} bytes, not ${match[1]}`;
    if (match[2] === undefined) continue;
    const base = flow.keys?.dsn(0n, ofLocal) ?? 0n;
    const relative = BigInt.asUintN(bytes * 8, live - base);
    if (relative !== BigInt(match[2])) return `${name} is ${relative}, not ${match[2]}`;
  }
  if (has(option, 'nocs') && dss.checksum !== null) return 'there is a checksum';
  if (dss.dsn === null) return null;
  const ssn = numberOf(option, 'ssn');
  if (ssn !== null && ssn !== dss.ssn) return `ssn is ${dss.ssn}, not ${ssn}`;
  const length = numberOf(option, 'dll');
  if (length !== null && length !== dss.length) return `dll is ${dss.length}, not ${length}`;
  return same('DATA_FIN', dss.fin, has(option, 'fin'));
}

function matchCapable(option: ScriptOption, data: Buffer, flow: Flow): string | null {
  const version = Number(/^v(\d+)$/.exec(option.words[0])?.[1] ?? 1);
  if ((data[0] & 15) !== version) return `version is ${data[0] & 15}, not ${version}`;
  if (data[1] !== capableFlags(option)) return `flags are ${data[1].toString(16)}`;
  const names = bracketOf(option, 'key') ?? [];
  const atLength = option.words.indexOf('mpcdatalen');
  const bytes = 2 + 8 * names.length + (atLength >= 0 ? 2 : 0);
  if (data.length !== bytes) return `mpcapable has ${data.length + 2} bytes, not ${bytes + 2}`;
  flow.keys ??= new Keys();
  const keys = flow.keys;
  for (const [i, name] of names.entries()) {
    const key = data.readBigUInt64BE(2 + 8 * i);
    if (i === 0) {
      keys.local ??= key;
      if (!keys.byName.has(name)) keys.byName.set(name, key);
    }
    if (keys.byName.get(name) !== key) return `key ${name} is ${key}, not ${keys.byName.get(name)}`;
  }
  if (atLength < 0) return null;
  return same('mpcdatalen', data.readUInt16BE(2 + 8 * names.length), Number(option.words[atLength + 1]));
}

/** The address id and B of a SYN/ACK are not looked at, as packetdrill does not. */
function matchJoin(option: ScriptOption, data: Buffer, flow: Flow): string | null {
  const bytes = { mp_join_syn: 10, mp_join_syn_ack: 14, mp_join_ack: 22 }[option.kind];
  if (data.length !== bytes) return `${option.kind} has ${data.length + 2} bytes`;
  const local = flow.keys?.local ?? 0n;
  const remote = flow.keys?.remote ?? 0n;
  if (option.kind === 'mp_join_syn') {
    flow.localNonce = data.readUInt32BE(6);
    const id = numberOf(option, 'address_id');
    return (
      same('token', data.readUInt32BE(2), tokenOf(remote)) ??
      (id === null ? null : same('address_id', data[1], id))
    );
  }
  if (option.kind === 'mp_join_syn_ack') flow.localNonce = data.readUInt32BE(10);
  const hmac = joinHmac(local, remote, flow.localNonce, flow.remoteNonce);
  return option.kind === 'mp_join_ack'
    ? same('HMAC', data.subarray(2).toString('hex'), hmac.subarray(0, 20).toString('hex'))
    : same('HMAC', data.subarray(2, 10).toString('hex'), hmac.subarray(0, 8).toString('hex'));
}

function matchAddAddress(
  option: ScriptOption,
  data: Buffer,
  flow: Flow,
  addresses: Addresses,
): string | null {
  const echo = (data[0] & 1) !== 0;
  if (echo !== has(option, 'addr_echo')) return echo ? 'it is an echo' : 'it is no echo';
  const rest = data.length - 2 - (echo ? 0 : 8);
  const address = data.subarray(2, 2 + (rest >= 16 ? 16 : 4));
  const hasPort = (rest & 2) !== 0;
  const port = hasPort ? data.readUInt16BE(2 + address.length) : 0;
  const word = addressWord(option);
  if (word === null) throw new Unsupported('add_address without an address');
  if (word.literal !== null) addresses.byName.set(word.name, word.literal);
  const known = addresses.byName.get(word.name);
  if (known === undefined) addresses.byName.set(word.name, addressText(address));
  else if (known !== addressText(address)) return `the address is ${addressText(address)}, not ${known}`;
  const id = numberOf(option, 'address_id');
  const hmac = echo
    ? null
    : addressHmac(flow.keys?.local ?? 0n, flow.keys?.remote ?? 0n, data[1], Buffer.from(address), port);
  return (
    (id === null ? null : same('address_id', data[1], id)) ??
    same('port', port, numberOf(option, 'port') ?? 0) ??
    (hmac === null ? null : same('HMAC', data.subarray(-8).toString('hex'), hmac.toString('hex')))
  );
}

const NUMBERS: Readonly<Record<string, number>> = {
  eol: 0,
  nop: 1,
  mss: 2,
  wscale: 3,
  sackOK: 4,
  sack: 5,
  TS: 8,
  FO: 34,
  FOEXP: 254,
  mpcapable: 30,
  mp_capable: 30,
  dss: 30,
  mp_join_syn: 30,
  mp_join_syn_ack: 30,
  mp_join_ack: 30,
  add_address: 30,
  remove_address: 30,
  mp_prio: 30,
  mp_fail: 30,
  mp_fastclose: 30,
  mp_reset: 30,
};
const SUBTYPES: Readonly<Record<string, number>> = {
  mpcapable: 0,
  mp_capable: 0,
  mp_join_syn: 1,
  mp_join_syn_ack: 1,
  mp_join_ack: 1,
  dss: 2,
  add_address: 3,
  remove_address: 4,
  mp_prio: 5,
  mp_fail: 6,
  mp_fastclose: 7,
  mp_reset: 8,
};
