// Events of the kernel's path manager.
//
// Decides: their names, which are those of `ip mptcp monitor` in lower case, and that what an event does not
// carry is absent.
// Read: linux/mptcp_pm.h (mptcp_event_type, mptcp_event_attr).
// Walk: path-manager.ts receives them; `mptcp monitor` prints.

import { decodeAddress, type SocketEndpoint } from './info.ts';
import { type Attributes, networkPort, unsigned } from './netlink.ts';

export type PathEventName =
  | 'created'
  | 'established'
  | 'closed'
  | 'announced'
  | 'removed'
  | 'subflow-established'
  | 'subflow-closed'
  | 'subflow-priority'
  | 'listener-created'
  | 'listener-closed';

/** Something that has happened to a connection, or to a listener. */
export interface PathEvent {
  readonly name: PathEventName;
  /** The connection, here. Listeners have none. */
  readonly token?: number;
  readonly localId?: number;
  readonly remoteId?: number;
  readonly local?: SocketEndpoint;
  readonly remote?: SocketEndpoint;
  readonly backup?: boolean;
  readonly serverSide?: boolean;
  /** errno of what ended a subflow. */
  readonly error?: number;
  readonly resetReason?: number;
  readonly interfaceIndex?: number;
}

/** An event by its number and attributes; undefined for numbers unknown here. */
export function decodeEvent(number: number, attributes: Attributes): PathEvent | undefined {
  const name = NAMES[number];
  if (name === undefined) return undefined;
  const numbers = {
    token: unsigned(attributes, TOKEN),
    localId: unsigned(attributes, LOC_ID),
    remoteId: unsigned(attributes, REM_ID),
    error: unsigned(attributes, ERROR),
    resetReason: unsigned(attributes, RESET_REASON),
    interfaceIndex: unsigned(attributes, IF_IDX),
    local: endpoint(attributes, SADDR4, SADDR6, SPORT),
    remote: endpoint(attributes, DADDR4, DADDR6, DPORT),
    backup: boolean(attributes, BACKUP),
    serverSide: boolean(attributes, SERVER_SIDE),
  };
  const present = Object.entries(numbers).filter(([, value]) => value !== undefined);
  return { name, ...Object.fromEntries(present) };
}

function endpoint(
  attributes: Attributes,
  four: number,
  six: number,
  port: number,
): SocketEndpoint | undefined {
  const [short, long] = [attributes.get(four), attributes.get(six)];
  const at = networkPort(attributes, port) ?? 0;
  if (short?.length === 4) return { address: decodeAddress(short, 4), port: at };
  return long?.length === 16 ? { address: decodeAddress(long, 6), port: at } : undefined;
}

function boolean(attributes: Attributes, type: number): boolean | undefined {
  const value = unsigned(attributes, type);
  return value === undefined ? undefined : value !== 0;
}

const NAMES: Readonly<Record<number, PathEventName>> = {
  1: 'created',
  2: 'established',
  3: 'closed',
  6: 'announced',
  7: 'removed',
  10: 'subflow-established',
  11: 'subflow-closed',
  13: 'subflow-priority',
  15: 'listener-created',
  16: 'listener-closed',
};
const TOKEN = 1;
const LOC_ID = 3;
const REM_ID = 4;
const SADDR4 = 5;
const SADDR6 = 6;
const DADDR4 = 7;
const DADDR6 = 8;
const SPORT = 9;
const DPORT = 10;
const BACKUP = 11;
const ERROR = 12;
const IF_IDX = 15;
const RESET_REASON = 16;
const SERVER_SIDE = 18;
