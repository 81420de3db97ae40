// The kernel's counters of Multipath TCP, and what they say about a connection that became plain TCP.
//
// Decides: which counter means which cause. The kernel counts for a whole network namespace and tells no
// socket why it fell back, so the cause is the likely one: of the counters that moved since they were last
// looked at.
// Read: linux/net/mptcp/mib.h; RFC 8684 §3.7.
// Walk: api/kernel-watch asks when it has seen a fallback; `mptcp stat` shows all.

import { readFileSync } from 'node:fs';

/** Counters by name, as `nstat` calls them without the prefix MPTcpExt. */
export type Counters = ReadonlyMap<string, number>;

/** The counters of this network namespace; empty where there are none. */
export function multipathCounters(): Counters {
  try {
    return parseCounters(readFileSync('/proc/net/netstat', 'utf8'), 'MPTcpExt');
  } catch {
    return new Map();
  }
}

/** One group of /proc/net/netstat or /proc/net/snmp: a line of names, a line of values. */
export function parseCounters(text: string, group: string): Counters {
  const rows = text.split('\n').filter(line => line.startsWith(`${group}: `));
  const [names = [], values = []] = rows.map(line => line.split(' ').slice(1));
  return new Map(names.map((name, i) => [name, Number(values[i] ?? 0)]));
}

/** The counters that moved, and how far. */
export function movedCounters(before: Counters, after: Counters): Map<string, number> {
  const moved = new Map<string, number>();
  for (const [name, value] of after) {
    const by = value - (before.get(name) ?? 0);
    if (by !== 0) moved.set(name, by);
  }
  return moved;
}

/**
 * Why connections became plain TCP, by the counter that says so; the causes are those of our own stack where
 * it has the same.
 */
export const FALLBACK_COUNTERS: Readonly<Record<string, string>> = {
  MPCapableFallbackSYNACK: 'syn-ack-without-option',
  MPCapableFallbackACK: 'ack-without-option',
  MPCapableSYNTXDrop: 'syn-lost',
  MPCapableSYNTXDisabled: 'black-hole',
  MPFallbackTokenInit: 'no-token',
  MPCapableDataFallback: 'data-without-mapping',
  DssFallback: 'data-without-mapping',
  DSSCorruptionFallback: 'checksum',
  MPFailRx: 'mp-fail',
  InfiniteMapRx: 'infinite-mapping',
  MD5SigFallback: 'md5-signature',
  SimultConnectFallback: 'simultaneous-open',
};

/** The likely cause of a fallback seen now; 'unknown' when no counter accounts for it. */
export function likelyFallbackCause(): string {
  const now = multipathCounters();
  const moved = movedCounters(lastSeen, now);
  lastSeen = now;
  const counted = Object.keys(FALLBACK_COUNTERS).filter(counter => moved.has(counter));
  // Of several that fell back together, the first to ask finds them all counted.
  if (counted.length > 0) unexplained = new Map(counted.map(counter => [counter, moved.get(counter) ?? 0]));
  for (const [counter, times] of unexplained) {
    if (times <= 0) continue;
    unexplained.set(counter, times - 1);
    return FALLBACK_COUNTERS[counter];
  }
  return 'unknown';
}

/** What is counted from now on can be a cause; once a process. */
export function beginCounting(): void {
  if (lastSeen.size === 0) lastSeen = multipathCounters();
}

let lastSeen: Counters = new Map();
/** By counter, how many fallbacks nobody has asked about. */
let unexplained: Map<string, number> = new Map();
