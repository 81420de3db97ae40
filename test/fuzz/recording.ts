// Sessions between our stack and the Linux kernel, as our host heard them: a corpus for the fuzzers.
//
// Decides: what a recording is – every packet that came, every act of our application, every timer, and when the host
// was asked for packets, with the time it was told – so that a host with the same entropy, which is told the same, is the same host: its keys,
// tokens, ports and sequence numbers are those that the kernel's packets were made for. A session is one connection.
// `test/interop/record.ts` records; replay.ts plays.

import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { Config, Connection, ConnectOptions, ListenOptions } from '../../src/host/index.ts';

export interface Recording {
  readonly name: string;
  readonly seed: number;
  readonly config: Partial<Config>;
  /** Addresses of our host, in the order of their interface ids. */
  readonly addresses: readonly string[];
  readonly connect?: ConnectOptions;
  readonly listen?: ListenOptions;
  readonly reached: Reached;
  readonly happenings: readonly Happening[];
}

/** How far the session came at our end. */
export interface Reached {
  readonly readBytes: number;
  /** Subflows that were ever in use; 0 without Multipath TCP. */
  readonly subflows: number;
  readonly error: string | null;
}

/** `us`: the time as the host was told, in whole microseconds. */
export type Happening = { readonly us: number } & (
  | { readonly op: 'in'; readonly interfaceId: number; readonly packet: Uint8Array }
  | { readonly op: 'expire' | 'connect' | 'send' }
  | { readonly op: 'act'; readonly act: Act }
);

/** What an application does; `pause` and `resume` are about its reading. */
export type Act =
  | readonly ['write', number]
  | readonly ['shutdown' | 'close' | 'abort' | 'pause' | 'resume']
  | readonly ['addPath' | 'removePath', number]
  | readonly ['setBackup', number, boolean];

export function perform(connection: Connection, act: Act, now: number): void {
  switch (act[0]) {
    case 'write':
      connection.write(OUR_BYTES, 0, act[1], now);
      break;
    case 'shutdown':
      connection.shutdown(now);
      break;
    case 'close':
      connection.close(now);
      break;
    case 'abort':
      connection.abort(now);
      break;
    case 'addPath':
      connection.addPath({ interfaceId: act[1] }, now);
      break;
    case 'removePath':
      connection.removePath(act[1], now);
      break;
    case 'setBackup':
      connection.setBackup(act[1], act[2], now);
      break;
    default:
  }
}

/** In the middle of the microsecond: whatever is counted in whole ones or more of them comes out the same. */
export function timeOf(us: number): number {
  return (us + 0.5) / 1000;
}

export function usOf(now: number): number {
  return Math.floor(now * 1000);
}

/** JSON lines: what the session is, then each happening; of a packet the equal bytes at its end are only counted. */
export function serialize(recording: Recording): string {
  const { happenings, ...head } = recording;
  const lines = happenings.map(happening => {
    const { us, op } = happening;
    if (op === 'in') return [us, op, happening.interfaceId, ...packed(happening.packet)];
    return op === 'act' ? [us, op, ...happening.act] : [us, op];
  });
  return [head, ...lines].map(line => `${JSON.stringify(line)}\n`).join('');
}

export function parse(text: string): Recording {
  const [head, ...lines] = text
    .trimEnd()
    .split('\n')
    .map(line => JSON.parse(line));
  return { ...head, happenings: lines.map(happeningOf) };
}

/** Every recording that is kept. */
export function loadCorpus(): Recording[] {
  const files = readdirSync(CORPUS).filter(file => file.endsWith('.jsonl'));
  return files.sort().map(file => parse(readFileSync(`${CORPUS}/${file}`, 'utf8')));
}

function happeningOf([us, op, ...rest]: unknown[]): Happening {
  if (op === 'in') {
    const [interfaceId, head, equal] = rest as [number, string, number];
    const start = Buffer.from(head, 'base64');
    const packet = new Uint8Array(start.length + equal).fill(start[start.length - 1]);
    packet.set(start);
    return { us: us as number, op, interfaceId, packet };
  }
  if (op === 'act') return { us: us as number, op, act: rest as unknown as Act };
  return { us: us as number, op: op as 'expire' | 'connect' | 'send' };
}

/** The start, and how often its last byte is repeated. */
function packed(packet: Uint8Array): [string, number] {
  let end = packet.length;
  while (end > 1 && packet[end - 2] === packet[packet.length - 1]) end--;
  return [Buffer.from(packet.subarray(0, end)).toString('base64'), packet.length - end];
}

/** What our applications send; the kernel's send as dull bytes, for the corpus to stay small. */
export const OUR_BYTES: Uint8Array = new Uint8Array(1 << 20).fill(0x6f);
/** The corpus is not built: it lies beside the source of this file. */
export const CORPUS: string = fileURLToPath(new URL('../../../test/fuzz/corpus', import.meta.url));
