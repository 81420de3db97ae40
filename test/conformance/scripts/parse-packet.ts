// Decides how a packet of a script is read: `< [ect0] addr[a] > addr[b] P. 1:3(2) ack 1 win 256 <options>`.
// Before: parse. After: build-packet for what comes in, match-packet for what must go out.

import { type IcmpEvent, type PacketEvent, type ScriptOption, Unsupported } from './script.ts';

export function parsePacket(text: string, defines: ReadonlyMap<string, string>): PacketEvent {
  const direction = text.startsWith('<') ? 'in' : 'out';
  let rest = text.slice(1).trim();
  let ecn: string | null = null;
  let tos: number | null = null;
  let ttl: number | null = null;
  const tag = (words: string): void => {
    for (const word of words.split(',').map(text => text.trim())) {
      if (CODEPOINTS.has(word)) ecn = word;
      const number = /^(tos|ttl|hoplimit)\s+(0x[0-9a-f]+|\d+)$/i.exec(word);
      if (number?.[1] === 'tos') tos = Number(number[2]);
      else if (number !== null) ttl = Number(number[2]);
    }
  };
  let source: string | null = null;
  let target: string | null = null;
  for (;;) {
    const found = /^\[([^\]]*)\]\s*/.exec(rest) ?? /^\(((?:ttl|tos|flowlabel)[^)]*)\)\s*/.exec(rest);
    if (found === null) break;
    tag(found[1]);
    rest = rest.slice(found[0].length);
  }
  const both = /^(?:addr\[(\w+)\])?\s*>\s*addr\[(\w+)\]\s*/.exec(rest) ?? /^addr\[(\w+)\]\s*>\s*/.exec(rest);
  if (both !== null) {
    source = both[1] ?? null;
    target = both[2] ?? null;
    rest = rest.slice(both[0].length);
  }
  const tagged = /^\[([^\]]*)\]\s*/.exec(rest);
  if (tagged !== null) {
    tag(tagged[1]);
    rest = rest.slice(tagged[0].length);
  }
  const head = HEAD.exec(rest);
  if (head === null) throw new Unsupported(`cannot read the packet '${rest}'`);
  const [all, flags, seq, , length, ack, window, urgent] = head;
  const tail = rest.slice(all.length).trim();
  return {
    type: 'packet',
    direction,
    source,
    target,
    ecn,
    tos,
    ttl,
    flags: flags === '-' ? '' : flags,
    seq: Number(seq),
    length: Number(length),
    ack: ack === undefined ? null : Number(ack),
    window: window === undefined ? null : Number(window),
    urgent: Number(urgent ?? 0),
    options: parseOptions(tail, defines),
  };
}

export function parseIcmp(text: string): IcmpEvent {
  const match =
    /^<\s*icmp(?:v6)?\s+(\w+)(?:\s+(?!mtu\b)(\w+))?(?:\s+mtu\s+(\d+))?(?:\s+\[(\d+):\d+\((\d+)\)\])?\s*$/.exec(
      text,
    );
  if (match === null) throw new Unsupported(`cannot read '${text}'`);
  const [, kind, code, mtu, seq, length] = match;
  return {
    type: 'icmp',
    kind,
    code: code ?? null,
    mtu: Number(mtu ?? 0),
    seq: Number(seq ?? 0),
    length: Number(length ?? 0),
  };
}

/** `<mss 1460, nop, …>`, `<...>` or nothing. */
function parseOptions(text: string, defines: ReadonlyMap<string, string>): ScriptOption[] | null {
  if (text === '') return [];
  const match = /^<([\s\S]*?)>\s*(\S*)/.exec(text);
  if (match === null || match[2] !== '') throw new Unsupported(`cannot read '${text}' after the packet`);
  const body = match[1].trim();
  if (body === '...') return null;
  if (body === '') return [];
  const options: ScriptOption[] = [];
  let before: string[] | null = null;
  for (const item of splitOutside(body)) {
    const words = item
      .trim()
      .split(/\s+(?![^[]*\])/)
      .map(word => defines.get(word) ?? word);
    // `sack 1:2 3:4,nop`, `remove_address …`: a word that is no kind of option goes on with the one before.
    const kind = words[0].replace(/=.*/, '');
    if (KINDS.has(kind)) {
      before = words.slice(1);
      options.push({ kind, words: before });
    } else if (before !== null) {
      before.push(...words);
    } else {
      throw new Unsupported(`unknown option '${item.trim()}'`);
    }
  }
  return options;
}

/** Splits at commas that are in no bracket and no parenthesis. */
function splitOutside(text: string): string[] {
  const parts: string[] = [''];
  let depth = 0;
  for (const char of text) {
    if (char === '[' || char === '(') depth++;
    if (char === ']' || char === ')') depth--;
    if (char === ',' && depth === 0) parts.push('');
    else parts[parts.length - 1] += char;
  }
  return parts;
}

const CODEPOINTS = new Set(['noecn', 'ect0', 'ect1', 'ce', 'ect01']);
const HEAD =
  /^([SFRPEWAU.\d]+|-)\s+(\d+):(\d+)\s*\((\d+)\)(?:\s+ack\s+(\d+))?(?:\s+win\s+(\d+))?(?:\s+urg\s+(\d+))?/;
export const KINDS: ReadonlySet<string> = new Set([
  'mss',
  'sackOK',
  'TS',
  'nop',
  'eol',
  'wscale',
  'sack',
  'FO',
  'FOEXP',
  'md5',
  'ECN',
  'mpcapable',
  'mp_capable',
  'dss',
  'mp_join_syn',
  'mp_join_syn_ack',
  'mp_join_ack',
  'add_address',
  'remove_address',
  'mp_prio',
  'mp_fail',
  'mp_fastclose',
  'mp_reset',
]);
