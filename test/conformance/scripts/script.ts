// What a packet script says, as data: times, calls with the results they must have, packets that come in (`<`)
// and packets that must go out (`>`), assertions about TCP_INFO and shell lines. The language is packetdrill's,
// with the options of its Multipath TCP fork. Before: parse. After: run-script.

/** When an event happens or must happen, in seconds. */
export interface When {
  /** 'absolute' from the start, 'relative' to the event before, 'any' whenever it comes. */
  readonly kind: 'absolute' | 'relative' | 'any';
  readonly start: number;
  /** `0.1~0.2`: a packet within. */
  readonly latest: number | null;
  /** `0.1...0.2`: a call that begins at one time and returns at the other. */
  readonly end: number | null;
}

/** An argument of a call: `...` is `{ any: true }`, an identifier `{ name }`. */
export type Value =
  | number
  | string
  | { readonly any: true }
  | { readonly name: string }
  | { readonly list: readonly Value[] }
  | { readonly fields: ReadonlyMap<string, Value> };

export interface CallEvent {
  readonly type: 'call';
  readonly name: string;
  readonly args: readonly Value[];
  readonly result: number | null;
  readonly error: string | null;
}

/** One option as it is written: a word and what follows it. */
export interface ScriptOption {
  readonly kind: string;
  readonly words: readonly string[];
}

export interface PacketEvent {
  readonly type: 'packet';
  readonly direction: 'in' | 'out';
  /** Names of address variables, null when not stated. */
  readonly source: string | null;
  readonly target: string | null;
  /** 'noecn', 'ect0', 'ect1', 'ce', 'ect01', or null: not looked at. */
  readonly ecn: string | null;
  /** The octet of IPv4, or the traffic class; null: not looked at. */
  readonly tos: number | null;
  /** Time to live, or hop limit; null: not looked at. */
  readonly ttl: number | null;
  readonly flags: string;
  readonly seq: number;
  readonly length: number;
  readonly ack: number | null;
  readonly window: number | null;
  readonly urgent: number;
  /** null: `<...>`, any. */
  readonly options: readonly ScriptOption[] | null;
}

/** `< icmp unreachable frag_needed mtu 1200 [1:1461(1460)]`: an error about that segment of ours. */
export interface IcmpEvent {
  readonly type: 'icmp';
  /** `unreachable`, `packet_too_big`, …, and the word behind it. */
  readonly kind: string;
  readonly code: string | null;
  readonly mtu: number;
  readonly seq: number;
  readonly length: number;
}

export type Event = { readonly when: When; readonly line: number; readonly text: string } & (
  | CallEvent
  | PacketEvent
  | IcmpEvent
  | { readonly type: 'shell'; readonly command: string }
  | { readonly type: 'assert'; readonly code: string }
);

export interface Script {
  readonly name: string;
  /** `--name=value` lines. */
  readonly settings: ReadonlyMap<string, string>;
  readonly events: readonly Event[];
}

/** Something in a script that this reader does not know: the script is not run. */
export class Unsupported extends Error {}
