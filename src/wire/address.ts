/**
 * IP addresses as text and as four int32 words, IPv4 being the v4-mapped ::ffff:a.b.c.d. Two addresses are
 * equal when their words are.
 *
 * Read first: RFC 4291 §2.2 and §2.5, RFC 5952 §4, RFC 6890 (special ranges).
 */

/**
 * Parses an address into four words: 4, 6, or 0 for text that is none (the words are then undefined). A
 * v4-mapped IPv6 address is the IPv4 address it stands for, so it gives 4. Zone ids are not accepted.
 */
export function parseAddress(text: string, into: Int32Array): 4 | 6 | 0 {
  if (!text.includes(':')) {
    if (!parseDotted(text, 0, text.length, into, 3)) return 0;
    into[0] = 0;
    into[1] = 0;
    into[2] = V4_MAPPED;
    return 4;
  }
  if (!parseColons(text, into)) return 0;
  return isIpv4(into[0], into[1], into[2]) ? 4 : 6;
}

/** The address as text: dotted for IPv4, RFC 5952 for IPv6. */
export function formatAddress(w0: number, w1: number, w2: number, w3: number): string {
  if (isIpv4(w0, w1, w2)) return `${w3 >>> 24}.${(w3 >>> 16) & 255}.${(w3 >>> 8) & 255}.${w3 & 255}`;
  const groups = [w0 >>> 16, w0, w1 >>> 16, w1, w2 >>> 16, w2, w3 >>> 16, w3].map(g => g & 0xffff);
  const [start, length] = longestZeroRun(groups);
  const hex = groups.map(g => g.toString(16));
  if (length < 2) return hex.join(':');
  return `${hex.slice(0, start).join(':')}::${hex.slice(start + length).join(':')}`;
}

export function formatWords(words: Int32Array): string {
  return formatAddress(words[0], words[1], words[2], words[3]);
}

export function isIpv4(w0: number, w1: number, w2: number): boolean {
  return (w0 | w1) === 0 && w2 === V4_MAPPED;
}

/** 0.0.0.0 or :: */
export function isUnspecified(w0: number, w1: number, w2: number, w3: number): boolean {
  return w3 === 0 && (isIpv4(w0, w1, w2) || (w0 | w1 | w2) === 0);
}

/** 127.0.0.0/8 or ::1 */
export function isLoopback(w0: number, w1: number, w2: number, w3: number): boolean {
  if (isIpv4(w0, w1, w2)) return w3 >>> 24 === 127;
  return (w0 | w1 | w2) === 0 && w3 === 1;
}

/** 169.254.0.0/16 or fe80::/10 */
export function isLinkLocal(w0: number, w1: number, w2: number, w3: number): boolean {
  if (isIpv4(w0, w1, w2)) return w3 >>> 16 === 0xa9fe;
  return w0 >>> 22 === 0x3fa;
}

/** 10.0.0.0/8, 172.16.0.0/12, 192.168.0.0/16 or fc00::/7 */
export function isPrivate(w0: number, w1: number, w2: number, w3: number): boolean {
  if (isIpv4(w0, w1, w2)) return w3 >>> 24 === 10 || w3 >>> 20 === 0xac1 || w3 >>> 16 === 0xc0a8;
  return w0 >>> 25 === 0x7e;
}

/** 224.0.0.0/4, 255.255.255.255 or ff00::/8 */
export function isMulticast(w0: number, w1: number, w2: number, w3: number): boolean {
  if (isIpv4(w0, w1, w2)) return w3 >>> 28 === 0xe || w3 === -1;
  return w0 >>> 24 === 0xff;
}

/** Reads `a.b.c.d` from a part of the text into one word. */
function parseDotted(text: string, from: number, to: number, into: Int32Array, word: number): boolean {
  let value = 0;
  let parts = 0;
  let digits = 0;
  let part = 0;
  for (let i = from; i <= to; i++) {
    const c = i === to ? DOT : text.charCodeAt(i);
    if (c === DOT) {
      if (digits === 0) return false;
      parts++;
      value = (value << 8) | part;
      part = 0;
      digits = 0;
      continue;
    }
    if (c < DIGIT_0 || c > DIGIT_0 + 9) return false;
    // "01" is read as octal by some and as decimal by others: neither, here.
    if (digits > 0 && part === 0) return false;
    part = part * 10 + c - DIGIT_0;
    digits++;
    if (part > 255) return false;
  }
  into[word] = value;
  return parts === 4;
}

/** Reads an address with colons: up to eight groups, `::` once, a dotted tail in place of the last two. */
function parseColons(text: string, into: Int32Array): boolean {
  const groups = GROUPS.fill(0);
  let count = 0;
  let gap = -1;
  let at = 0;
  if (text.startsWith('::')) {
    gap = 0;
    at = 2;
  }
  while (at < text.length) {
    const stop = text.indexOf(':', at);
    const end = stop === -1 ? text.length : stop;
    if (stop === -1 && text.includes('.')) {
      if (!parseDotted(text, at, end, DOTTED, 0)) return false;
      groups[count++] = DOTTED[0] >>> 16;
      groups[count++] = DOTTED[0];
      break;
    }
    const group = parseGroup(text, at, end);
    if (group < 0) return false;
    groups[count++] = group;
    at = end + 1;
    if (stop !== -1 && at === text.length) return false;
    if (text.charCodeAt(at) === COLON) {
      if (gap >= 0) return false;
      gap = count;
      at++;
    }
  }
  return spread(groups, count, gap, into);
}

/** Puts the gap where `::` stood and joins the groups in pairs; refuses too many or too few. */
function spread(groups: Uint16Array, count: number, gap: number, into: Int32Array): boolean {
  if (gap < 0 ? count !== 8 : count > 7) return false;
  if (gap >= 0) {
    groups.copyWithin(8 - (count - gap), gap, count);
    groups.fill(0, gap, 8 - (count - gap));
  }
  for (let i = 0; i < 4; i++) into[i] = (groups[2 * i] << 16) | groups[2 * i + 1];
  return true;
}

function parseGroup(text: string, from: number, to: number): number {
  if (to === from || to - from > 4) return -1;
  let value = 0;
  for (let i = from; i < to; i++) {
    const digit = hexDigit(text.charCodeAt(i));
    if (digit < 0) return -1;
    value = (value << 4) | digit;
  }
  return value;
}

function hexDigit(c: number): number {
  if (c >= DIGIT_0 && c <= DIGIT_0 + 9) return c - DIGIT_0;
  const letter = (c | 0x20) - LOWER_A;
  return letter >= 0 && letter < 6 ? letter + 10 : -1;
}

/** Start and length of the first of the longest runs of zero groups. */
function longestZeroRun(groups: number[]): [number, number] {
  let best = 0;
  let bestStart = 0;
  let run = 0;
  for (const [i, group] of groups.entries()) {
    run = group === 0 ? run + 1 : 0;
    if (run > best) {
      best = run;
      bestStart = i - run + 1;
    }
  }
  return [bestStart, best];
}

const V4_MAPPED = 0xffff;
const DOT = 46;
const COLON = 58;
const DIGIT_0 = 48;
const LOWER_A = 97;
const GROUPS = new Uint16Array(8);
const DOTTED = new Int32Array(1);
