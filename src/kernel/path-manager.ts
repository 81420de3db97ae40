// The path manager of the Linux kernel: its endpoints and limits, its events, and the commands for single
// connections where it leaves those to a program.
//
// Decides: the words (those of `ip mptcp`), and that every command is one call that has happened, or thrown
// what the kernel said, when it returns. Looking needs no rights; changing and listening to events need
// CAP_NET_ADMIN.
// Read: linux/mptcp_pm.h; Linux Documentation/netlink/specs/mptcp_pm.yaml; RFC 8684 §3.4.
// Walk: netlink-socket.ts asks; `mptcp endpoint`, `limits` and `monitor` are its users.

import { readFileSync } from 'node:fs';
import { isIP } from 'node:net';
import { isIpv4, parseAddress } from '../wire/index.ts';
import { decodeAddress } from './info.ts';
import {
  type Attributes,
  type AttributeValue,
  attributeList,
  concatenate,
  decodeAttributes,
  encodeAttributes,
  type NetlinkMessage,
  text,
  u8,
  u16,
  u32,
  unsigned,
  zeroText,
} from './netlink.ts';
import { NetlinkSocket } from './netlink-socket.ts';
import { decodeEvent, type PathEvent } from './path-event.ts';

/** An address the kernel uses or tells of. */
export interface KernelEndpoint {
  readonly id: number;
  readonly address: string;
  /** 0: that of the connection. */
  readonly port: number;
  /** Of the device, 0 when it is bound to none. */
  readonly interfaceIndex: number;
  /** Tell peers of it (ADD_ADDR). */
  readonly signal: boolean;
  /** Open subflows from it. */
  readonly subflow: boolean;
  /** Subflows from it are backups. */
  readonly backup: boolean;
  /** From it to every address of the peer. */
  readonly fullmesh: boolean;
  /** The kernel made it, for a subflow that a program created. */
  readonly implicit: boolean;
}

/** What is asked of a new endpoint; at least `signal` or `subflow` should be. */
export type NewEndpoint = { readonly address: string } & {
  readonly [Key in Exclude<keyof KernelEndpoint, 'address' | 'implicit'>]?: KernelEndpoint[Key];
};

/** How many subflows a connection may have beside the first, and how many ADD_ADDR it follows. */
export interface KernelLimits {
  readonly subflows: number;
  readonly addAddrAccepted: number;
}

/** One end of a subflow that a program makes. */
export interface SubflowEnd {
  readonly address: string;
  readonly port?: number;
  readonly id?: number;
  readonly interfaceIndex?: number;
  readonly backup?: boolean;
}

/** Who looks after the paths of connections that are made in this network namespace from now on. */
export function pathManagerKind(): 'kernel' | 'userspace' {
  try {
    return readFileSync('/proc/sys/net/mptcp/pm_type', 'utf8').trim() === '1' ? 'userspace' : 'kernel';
  } catch {
    // There is none but the kernel's before Linux 5.19.
    return 'kernel';
  }
}

/** Whether this process may change what the path manager does: CAP_NET_ADMIN. */
export function mayManagePaths(): boolean {
  try {
    const [, effective = '0'] =
      /^CapEff:\s*([0-9a-f]+)/m.exec(readFileSync('/proc/self/status', 'utf8')) ?? [];
    return (BigInt(`0x${effective}`) & (1n << CAP_NET_ADMIN)) !== 0n;
  } catch {
    return false;
  }
}

/** The kernel's path manager in this network namespace. */
export class KernelPathManager {
  readonly #netlink: NetlinkSocket = new NetlinkSocket(NETLINK_GENERIC);
  readonly #family: number;
  readonly #groups: ReadonlyMap<string, number>;

  constructor() {
    try {
      [this.#family, this.#groups] = resolveFamily(this.#netlink);
    } catch (error) {
      this.#netlink.close();
      throw error;
    }
  }

  endpoints(): KernelEndpoint[] {
    return this.#ask(Command.GET_ADDR, [], { dump: true }).flatMap(
      answer => decodeEndpoint(decodeAttributes(answer).get(ATTR_ADDR)) ?? [],
    );
  }

  addEndpoint(endpoint: NewEndpoint): void {
    this.#ask(Command.ADD_ADDR, [[ATTR_ADDR, encodeEndpoint(endpoint)]]);
  }

  removeEndpoint(id: number): void {
    this.#ask(Command.DEL_ADDR, [[ATTR_ADDR, [[ADDR_ID, u8(id)]]]]);
  }

  /**
   * Takes the address of first subflows back (REMOVE_ADDR 0) and closes these subflows; with a port, of the
   * one connection that has it. Connections that the kernel leaves to a program are not meant.
   */
  removeFirst({ address, port }: { readonly address: string; readonly port?: number }): void {
    const end = encodeEndpoint({ address, id: 0, ...(port === undefined ? {} : { port }) });
    this.#ask(Command.DEL_ADDR, [[ATTR_ADDR, end]]);
  }

  removeAllEndpoints(): void {
    this.#ask(Command.FLUSH_ADDRS, []);
  }

  /** Turns an endpoint into a backup, or back: connections are told with MP_PRIO. */
  setBackup(id: number, backup: boolean): void {
    const endpoint = this.endpoints().find(each => each.id === id);
    if (endpoint === undefined)
      throw Object.assign(new Error(`there is no endpoint ${id}`), { code: 'ENOENT' });
    const { address, fullmesh } = endpoint;
    this.#ask(Command.SET_FLAGS, [[ATTR_ADDR, encodeEndpoint({ address, id, backup, fullmesh })]]);
  }

  limits(): KernelLimits {
    const [answer] = this.#ask(Command.GET_LIMITS, []);
    const attributes = decodeAttributes(answer ?? new Uint8Array(0));
    return {
      subflows: unsigned(attributes, ATTR_SUBFLOWS) ?? 0,
      addAddrAccepted: unsigned(attributes, ATTR_RCV_ADD_ADDRS) ?? 0,
    };
  }

  setLimits({ subflows, addAddrAccepted }: KernelLimits): void {
    this.#ask(Command.SET_LIMITS, [
      [ATTR_RCV_ADD_ADDRS, u32(addAddrAccepted)],
      [ATTR_SUBFLOWS, u32(subflows)],
    ]);
  }

  // For connections that the kernel leaves to a program (sysctl net.mptcp.pm_type=1, or
  // path_manager=userspace).

  /** Tells the peer of an address (ADD_ADDR). */
  announce(token: number, end: SubflowEnd): void {
    const address = encodeEndpoint({ ...end, signal: true });
    this.#ask(Command.ANNOUNCE, [
      [ATTR_ADDR, address],
      [ATTR_TOKEN, u32(token)],
    ]);
  }

  /** Takes an address back (REMOVE_ADDR). */
  withdraw(token: number, localId: number): void {
    this.#ask(Command.REMOVE, [
      [ATTR_TOKEN, u32(token)],
      [ATTR_LOC_ID, u8(localId)],
    ]);
  }

  createSubflow(token: number, local: SubflowEnd, remote: SubflowEnd): void {
    this.#subflow(Command.SUBFLOW_CREATE, token, local, remote);
  }

  destroySubflow(token: number, local: SubflowEnd, remote: SubflowEnd): void {
    this.#subflow(Command.SUBFLOW_DESTROY, token, local, remote);
  }

  /** Makes one subflow a backup, or an ordinary one (MP_PRIO). */
  setSubflowBackup(
    token: number,
    { local, remote }: { local: SubflowEnd; remote: SubflowEnd },
    backup: boolean,
  ): void {
    this.#subflow(Command.SET_FLAGS, token, { ...local, backup }, remote);
  }

  /** Tells of every event from now on. `onLost`: some were missed, because they came faster than we read. */
  follow(onEvent: (event: PathEvent) => void, onLost: () => void): void {
    const group = this.#groups.get(EVENT_GROUP);
    if (group === undefined) throw new Error('this kernel has no events of Multipath TCP');
    const onNews = ({ type, payload }: NetlinkMessage): void => {
      if (type !== this.#family) return;
      const event = decodeEvent(payload[0], decodeAttributes(payload.subarray(GENERIC_HEADER_BYTES)));
      if (event !== undefined) onEvent(event);
    };
    this.#netlink.subscribe(group, onNews, onLost);
  }

  close(): void {
    this.#netlink.close();
  }

  #subflow(command: number, token: number, local: SubflowEnd, remote: SubflowEnd): void {
    this.#ask(command, [
      [ATTR_ADDR, encodeEndpoint(local)],
      [ATTR_TOKEN, u32(token)],
      [ATTR_ADDR_REMOTE, encodeEndpoint(remote)],
    ]);
  }

  #ask(
    command: number,
    attributes: readonly (readonly [number, AttributeValue])[],
    { dump = false }: { dump?: boolean } = {},
  ): Uint8Array[] {
    const payload = encodeCommand(command, PM_VERSION, attributes);
    const answers = this.#netlink.request({ type: this.#family, payload, dump });
    return answers.map(answer => answer.payload.subarray(GENERIC_HEADER_BYTES));
  }
}

/** A generic netlink command: its header, then its attributes. */
export function encodeCommand(
  command: number,
  version: number,
  attributes: readonly (readonly [number, AttributeValue])[],
): Uint8Array {
  return concatenate([Uint8Array.of(command, version, 0, 0), encodeAttributes(attributes)]);
}

/** The attributes of an address; throws when it is none. */
export function encodeEndpoint(endpoint: NewEndpoint): (readonly [number, Uint8Array])[] {
  const words = new Int32Array(4);
  if (isIP(endpoint.address) === 0 || parseAddress(endpoint.address, words) === 0) {
    throw Object.assign(new Error(`"${endpoint.address}" is no IP address`), { code: 'EINVAL' });
  }
  const bytes = new Uint8Array(16);
  const view = new DataView(bytes.buffer);
  for (const [i, word] of words.entries()) view.setInt32(i * 4, word);
  const four = isIpv4(words[0], words[1], words[2]);
  const flags = FLAGS.reduce((sum, [name, flag]) => (endpoint[name] === true ? sum | flag : sum), 0);
  const { id, port, interfaceIndex } = endpoint;
  return [
    [ADDR_FAMILY, u16(four ? AF_INET : AF_INET6)],
    ...(id === undefined ? [] : [[ADDR_ID, u8(id)] as const]),
    four ? [ADDR_ADDR4, bytes.subarray(12)] : [ADDR_ADDR6, bytes],
    ...(port ? [[ADDR_PORT, u16(port)] as const] : []),
    [ADDR_FLAGS, u32(flags)],
    ...(interfaceIndex ? [[ADDR_IF_IDX, u32(interfaceIndex)] as const] : []),
  ];
}

/** An endpoint out of its attribute; undefined when there is no address in it. */
export function decodeEndpoint(bytes: Uint8Array | undefined): KernelEndpoint | undefined {
  const attributes = decodeAttributes(bytes ?? new Uint8Array(0));
  const [four, six] = [attributes.get(ADDR_ADDR4), attributes.get(ADDR_ADDR6)];
  if (four?.length !== 4 && six?.length !== 16) return undefined;
  const flags = unsigned(attributes, ADDR_FLAGS) ?? 0;
  return {
    id: unsigned(attributes, ADDR_ID) ?? 0,
    address: four === undefined ? decodeAddress(six as Uint8Array, 6) : decodeAddress(four, 4),
    port: unsigned(attributes, ADDR_PORT) ?? 0,
    interfaceIndex: unsigned(attributes, ADDR_IF_IDX) ?? 0,
    signal: (flags & FLAG_SIGNAL) !== 0,
    subflow: (flags & FLAG_SUBFLOW) !== 0,
    backup: (flags & FLAG_BACKUP) !== 0,
    fullmesh: (flags & FLAG_FULLMESH) !== 0,
    implicit: (flags & FLAG_IMPLICIT) !== 0,
  };
}

/** Numbers of a generic netlink family are given out as it is registered. */
function resolveFamily(netlink: NetlinkSocket): [family: number, groups: ReadonlyMap<string, number>] {
  const payload = encodeCommand(CTRL_CMD_GETFAMILY, 1, [[CTRL_ATTR_FAMILY_NAME, text('mptcp_pm')]]);
  const [answer] = netlink.request({ type: GENL_ID_CTRL, payload });
  const attributes: Attributes = decodeAttributes(answer.payload.subarray(GENERIC_HEADER_BYTES));
  const groups = attributeList(attributes.get(CTRL_ATTR_MCAST_GROUPS) ?? new Uint8Array(0)).map(
    ([, group]) => {
      const parts = decodeAttributes(group);
      return [
        zeroText(parts, CTRL_ATTR_MCAST_GRP_NAME) ?? '',
        unsigned(parts, CTRL_ATTR_MCAST_GRP_ID) ?? 0,
      ] as const;
    },
  );
  return [unsigned(attributes, CTRL_ATTR_FAMILY_ID) ?? 0, new Map(groups)];
}

const Command = {
  ADD_ADDR: 1,
  DEL_ADDR: 2,
  GET_ADDR: 3,
  FLUSH_ADDRS: 4,
  SET_LIMITS: 5,
  GET_LIMITS: 6,
  SET_FLAGS: 7,
  ANNOUNCE: 8,
  REMOVE: 9,
  SUBFLOW_CREATE: 10,
  SUBFLOW_DESTROY: 11,
} as const;

const CAP_NET_ADMIN = 12n;
const FLAG_SIGNAL = 1;
const FLAG_SUBFLOW = 2;
const FLAG_BACKUP = 4;
const FLAG_FULLMESH = 8;
const FLAG_IMPLICIT = 16;
const FLAGS: readonly (readonly ['signal' | 'subflow' | 'backup' | 'fullmesh', number])[] = [
  ['signal', FLAG_SIGNAL],
  ['subflow', FLAG_SUBFLOW],
  ['backup', FLAG_BACKUP],
  ['fullmesh', FLAG_FULLMESH],
];
const AF_INET = 2;
const AF_INET6 = 10;
const ATTR_ADDR = 1;
const ATTR_RCV_ADD_ADDRS = 2;
const ATTR_SUBFLOWS = 3;
const ATTR_TOKEN = 4;
const ATTR_LOC_ID = 5;
const ATTR_ADDR_REMOTE = 6;
const ADDR_FAMILY = 1;
const ADDR_ID = 2;
const ADDR_ADDR4 = 3;
const ADDR_ADDR6 = 4;
const ADDR_PORT = 5;
const ADDR_FLAGS = 6;
const ADDR_IF_IDX = 7;
const PM_VERSION = 1;
const EVENT_GROUP = 'mptcp_pm_events';
const NETLINK_GENERIC = 16;
const GENERIC_HEADER_BYTES = 4;
const GENL_ID_CTRL = 16;
const CTRL_CMD_GETFAMILY = 3;
const CTRL_ATTR_FAMILY_ID = 1;
const CTRL_ATTR_FAMILY_NAME = 2;
const CTRL_ATTR_MCAST_GROUPS = 7;
const CTRL_ATTR_MCAST_GRP_NAME = 1;
const CTRL_ATTR_MCAST_GRP_ID = 2;
