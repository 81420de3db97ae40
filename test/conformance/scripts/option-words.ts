// Decides how the words of an option are taken apart: `key[ckey=2, skey]`, `dack8=3`, `address_id=[1,2]`.
// Before: parse-packet. After: build-options, match-options.

import type { ScriptOption } from './script.ts';

/** `name=value` of an option; null when it is not there. */
export function wordOf(option: ScriptOption, name: string): string | null {
  for (const word of option.words) {
    if (word.startsWith(`${name}=`)) return word.slice(name.length + 1);
  }
  return null;
}

/** `name[a, b]` of an option; null when it is not there. */
export function bracketOf(option: ScriptOption, name: string): string[] | null {
  const text = option.words.join(' ');
  const match = new RegExp(`(?:^|\\s)${name}=?\\[([^\\]]*)\\]`).exec(text);
  return match === null ? null : match[1].split(',').map(word => word.trim());
}

export function numberOf(option: ScriptOption, name: string): number | null {
  const word = wordOf(option, name);
  return word === null ? null : Number(word);
}

export function has(option: ScriptOption, word: string): boolean {
  return option.words.includes(word);
}

/** The number that follows a bare word: `mss 1460`, `TS val 1 ecr 2`. */
export function after(option: ScriptOption, word: string): number {
  return Number(option.words[option.words.indexOf(word) + 1]);
}

/** Flags of MP_CAPABLE: `flags[flag_a, flag_h]`. */
export function capableFlags(option: ScriptOption): number {
  let flags = 0;
  for (const name of bracketOf(option, 'flags') ?? [])
    flags |= 0x80 >> (name.charCodeAt(name.length - 1) - 97);
  return flags;
}

/** `addr[saddr1]`, `addr[ep=inet_addr("198.51.100.2")]`: a name and perhaps what it stands for. */
export function addressWord(option: ScriptOption): { name: string; literal: string | null } | null {
  const words = bracketOf(option, 'addr') ?? bracketOf(option, 'addr4') ?? bracketOf(option, 'addr6');
  if (words === null) return null;
  const match = /^(\w+)(?:\s*=\s*inet6?_addr\("([^"]+)"\))?$/.exec(words[0]);
  return match === null ? null : { name: match[1], literal: match[2] ?? null };
}
