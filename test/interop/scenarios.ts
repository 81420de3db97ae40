// The sessions that are recorded for the fuzzers: data. See record.ts.

import { setTimeout as sleep } from 'node:timers/promises';
import type { Config } from '../../src/host/index.ts';
import type { Bed } from './bed.ts';
import { eventually, type Role } from './cell.ts';
import type { Session } from './record.ts';

export interface Scenario {
  readonly name: string;
  readonly roles?: readonly Role[];
  readonly families?: readonly (4 | 6)[];
  readonly config?: Partial<Config>;
  readonly sysctls?: Readonly<Record<string, number | string>>;
  /** Commands of `ip` in the kernel's namespace. */
  readonly ip?: (role: Role, family: 4 | 6) => readonly string[];
  /** Paths of our client (default 1). */
  readonly paths?: number;
  /** Our server announces its second address. */
  readonly advertise?: boolean;
  /** The kernel's socket is one of plain TCP. */
  readonly plain?: boolean;
  readonly before?: (bed: Bed) => void;
  readonly play: (session: Session) => Promise<void>;
}

/** A few bytes each way: both ends are fully established. */
async function greet(s: Session): Promise<void> {
  await s.weSend(100);
  await s.kernelSends(200);
}

/** Some data each way, and both ends finish. */
async function finish(s: Session): Promise<void> {
  await s.kernelSends(5000);
  await s.weSend(5000);
  s.act('shutdown');
  await s.socket.receive();
  await s.kernelSends(300);
  await s.socket.close();
  await s.closed();
}

async function joined(s: Session, count: number): Promise<void> {
  await eventually(() => s.subflows() === count);
  await s.kernelSends(8000);
  await s.weSend(8000);
}

function kernelAddress(device: number, family: 4 | 6): string {
  return family === 4 ? `10.77.${device}.1` : `fd77:0:0:${device}::1`;
}

const signals = (_role: Role, family: 4 | 6): string[] => [
  `mptcp endpoint add ${kernelAddress(1, family)} id 5 signal`,
];
/** The kernel joins our server by itself; our client joins what the kernel announces. */
const joins = (role: Role, family: 4 | 6): string[] =>
  role === 'our client'
    ? signals(role, family)
    : [`mptcp endpoint add ${kernelAddress(1, family)} id 5 subflow`];
const CHECKSUM = { config: { checksum: true }, sysctls: { 'net.mptcp.checksum_enabled': 1 } };

/** Where the TCP header is, and how many bytes of payload follow its end, of a packet in `bytes`. */
function tcpOf(bytes: Uint8Array, offset: number): { header: number; end: number; payload: number } {
  const four = bytes[offset] >> 4 === 4;
  const header = offset + (four ? (bytes[offset] & 15) * 4 : 40);
  const at = offset + (four ? 2 : 4);
  const length = ((bytes[at] << 8) | bytes[at + 1]) + (four ? 0 : 40);
  const end = header + (bytes[header + 12] >> 4) * 4;
  return { header, end, payload: offset + length - end };
}

/** MPTCP options become NOPs. */
function stripOptions(bytes: Uint8Array, offset: number): void {
  const { header, end } = tcpOf(bytes, offset);
  for (let at = header + 20; at < end; ) {
    const kind = bytes[at];
    if (kind === 0) return;
    const length = kind === 1 ? 1 : bytes[at + 1];
    if (kind === 30) bytes.fill(1, at, at + length);
    at += length;
  }
}

/** Every so manieth packet with data is lost, once each. */
function lossy(bed: Bed): void {
  let count = 0;
  bed.middlebox = (_outbound, bytes, offset) => tcpOf(bytes, offset).payload < 500 || ++count % 6 !== 0;
}

/** The next packet with data in one direction arrives changed. */
function corruptNext(bed: Bed, direction: 'outbound' | 'inbound'): void {
  bed.middlebox = (outbound, bytes, offset) => {
    const { end, payload } = tcpOf(bytes, offset);
    if (outbound === (direction === 'outbound') && payload > 100) {
      bytes[end + 50] ^= 0x5a;
      bed.middlebox = () => true;
    }
    return true;
  };
}

/** Every third packet that may be marked, is: congestion experienced (RFC 3168). IPv6 only. */
function markCongestion(bed: Bed): void {
  let count = 0;
  bed.middlebox = (_outbound, bytes, offset) => {
    if ((bytes[offset + 1] & 0x30) !== 0 && ++count % 3 === 0) bytes[offset + 1] |= 0x30;
    return true;
  };
}

export const SCENARIOS: readonly Scenario[] = [
  {
    name: 'exchange',
    play: async s => {
      await greet(s);
      await finish(s);
    },
  },
  {
    name: 'checksum',
    ...CHECKSUM,
    play: async s => {
      await greet(s);
      await finish(s);
    },
  },
  {
    name: 'kernel-first',
    families: [4],
    play: async s => {
      await s.kernelSends(3000);
      await s.socket.shutdown();
      await s.weSend(3000);
      s.act('close');
      await s.socket.receive();
      await s.closed();
    },
  },
  {
    name: 'join',
    ip: joins,
    play: async s => {
      await greet(s);
      await joined(s, 2);
      s.bed.ip('mptcp endpoint change id 5 backup');
      await sleep(20);
      await finish(s);
    },
  },
  {
    name: 'join-checksum',
    families: [4],
    ...CHECKSUM,
    ip: joins,
    play: async s => {
      await greet(s);
      await joined(s, 2);
      s.act('setBackup', s.flow.multipath().subflows[1].id, true);
      await finish(s);
    },
  },
  {
    name: 'withdraw',
    families: [6],
    ip: joins,
    play: async s => {
      await greet(s);
      await joined(s, 2);
      s.bed.ip('mptcp endpoint delete id 5');
      await eventually(() => s.subflows() === 1);
      await finish(s);
    },
  },
  {
    name: 'announce-port',
    roles: ['our client'],
    ip: (_role, family) => [
      `mptcp endpoint add ${kernelAddress(1, family)} id 5 signal`,
      `mptcp endpoint add ${kernelAddress(1, family)} port 9999 id 6 signal`,
    ],
    play: async s => {
      await greet(s);
      // Beside timestamps there is no room for ADD_ADDR with an address of IPv6 and a port: Linux drops it (AddAddrTxDrop).
      await joined(s, s.family === 6 ? 2 : 3);
      await finish(s);
    },
  },
  {
    name: 'paths',
    roles: ['our client'],
    paths: 2,
    play: async s => {
      await greet(s);
      await joined(s, 2);
      s.act('removePath', s.bed.interfaces(s.family)[0]);
      await sleep(50);
      await finish(s);
    },
  },
  {
    name: 'advertise',
    roles: ['our server'],
    advertise: true,
    play: async s => {
      await greet(s);
      await joined(s, 2);
      await finish(s);
    },
  },
  {
    name: 'fastclose',
    ip: joins,
    families: [4],
    play: async s => {
      await greet(s);
      await joined(s, 2);
      await s.socket.close({ abort: true });
      await s.closed();
    },
  },
  {
    name: 'abort',
    families: [6],
    play: async s => {
      await greet(s);
      s.act('abort');
      await s.closed();
    },
  },
  {
    name: 'mp-fail',
    ...CHECKSUM,
    play: async s => {
      await greet(s);
      corruptNext(s.bed, 'outbound');
      await s.weSend(3000);
      await finish(s);
    },
  },
  {
    name: 'infinite-mapping',
    ...CHECKSUM,
    families: [4],
    play: async s => {
      await greet(s);
      corruptNext(s.bed, 'inbound');
      await s.kernelSends(3000);
      await finish(s);
    },
  },
  {
    name: 'mp-fail-joined',
    ...CHECKSUM,
    ip: joins,
    families: [4],
    play: async s => {
      await greet(s);
      await joined(s, 2);
      corruptNext(s.bed, 'outbound');
      await s.weSend(8000);
      await finish(s);
    },
  },
  {
    name: 'stripped',
    families: [4],
    before: bed => {
      let packets = 0;
      bed.middlebox = (_outbound, bytes, offset) => {
        if (++packets > 2) stripOptions(bytes, offset);
        return true;
      };
    },
    play: async s => {
      await greet(s);
      await finish(s);
    },
  },
  {
    name: 'plain',
    families: [6],
    plain: true,
    play: async s => {
      await greet(s);
      await finish(s);
    },
  },
  {
    name: 'loss',
    families: [4],
    play: async s => {
      await greet(s);
      lossy(s.bed);
      await s.kernelSends(15_000);
      await s.weSend(15_000);
      s.bed.middlebox = () => true;
      await finish(s);
    },
  },
  {
    name: 'window',
    config: { receiveBufferBytes: 8000, receiveBufferInitialBytes: 8000 },
    families: [4],
    play: async s => {
      await greet(s);
      s.act('pause');
      const sending = s.socket.sendLoaded({ from: 0, to: 30_000 });
      await sleep(600);
      s.act('resume');
      await sending;
      await finish(s);
    },
  },
  {
    name: 'subflow-reset',
    ip: joins,
    families: [4],
    play: async s => {
      await greet(s);
      await joined(s, 2);
      const { local, remote } = s.flow.multipath().subflows[1];
      s.bed.kill({ from: remote, to: local });
      await eventually(() => s.subflows() === 1);
      await finish(s);
    },
  },
  {
    name: 'dark',
    ip: joins,
    families: [4],
    play: async s => {
      await greet(s);
      await joined(s, 2);
      s.bed.darken(1);
      const sending = s.socket.sendLoaded({ from: 0, to: 30_000 });
      await s.weSend(8000);
      await sending;
      s.bed.darken(1, false);
      await finish(s);
    },
  },
  {
    name: 'congested',
    families: [6],
    config: { ecn: 'on' },
    sysctls: { 'net.ipv4.tcp_ecn': 1 },
    ip: joins,
    before: markCongestion,
    play: async s => {
      await greet(s);
      await joined(s, 2);
      await finish(s);
    },
  },
];
