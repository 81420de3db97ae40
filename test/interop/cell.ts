// One connection between our stack and the kernel's, in either role: where most cells of the matrix begin.

import assert from 'node:assert/strict';
import type { ConnectOptions, ListenOptions } from '../../src/host/index.ts';
import type { Bed } from './bed.ts';
import type { KernelSocket, SocketOptions } from './kernel-peer.ts';
import type { OurFlow } from './our-host.ts';

/** Who connects. */
export type Role = 'our client' | 'our server';
export const ROLES: readonly Role[] = ['our client', 'our server'];

/** What a scenario is run over. */
export interface Variant {
  readonly title: string;
  readonly role: Role;
  /** For the bed. */
  readonly over: { readonly family: 4 | 6; readonly checksum: boolean };
}

const EVERY_VARIANT: readonly Variant[] = ROLES.flatMap(role =>
  ([4, 6] as const).flatMap(family =>
    [false, true].map(checksum => ({
      title: `${role}, IPv${family}, checksum ${checksum ? 'on' : 'off'}`,
      role,
      over: { family, checksum },
    })),
  ),
);
/** Both roles, each family and each setting once: where the two have nothing to do with each other. */
export const PAIRED_VARIANTS: readonly Variant[] = EVERY_VARIANT.filter(
  ({ over }) => (over.family === 6) === over.checksum,
);
/** Both roles, both families, with DSS checksums and without; MPTCP_INTEROP=few leaves it at the pairs. */
export const VARIANTS: readonly Variant[] =
  process.env['MPTCP_INTEROP'] === 'few' ? PAIRED_VARIANTS : EVERY_VARIANT;
export const CLIENT_VARIANTS: readonly Variant[] = VARIANTS.filter(({ role }) => role === 'our client');
export const SERVER_VARIANTS: readonly Variant[] = VARIANTS.filter(({ role }) => role === 'our server');

export interface PairOptions {
  readonly role: Role;
  readonly family?: 4 | 6;
  /** For our client: how many of the bed's devices it may use (default 1). */
  readonly paths?: number;
  /** More for our `connect` or `listen`. */
  readonly connect?: Partial<ConnectOptions>;
  readonly listen?: Partial<ListenOptions>;
  /** More for the kernel's socket. */
  readonly socket?: Partial<SocketOptions>;
}

/** A connection whose handshake both ends have completed; the kernel's end exists once it has. */
export interface Pair {
  readonly flow: OurFlow;
  readonly socket: KernelSocket;
  readonly port: number;
}

export async function connectPair(bed: Bed, options: PairOptions): Promise<Pair> {
  const family = options.family ?? bed.family;
  const interfaces = bed.interfaces(family);
  const pinned = { congestion: 'cubic', ...options.socket };
  if (options.role === 'our client') {
    // All addresses: the kernel answers joins to others than the first only where a listener does.
    const server = await bed.kernel.listen({ address: family === 4 ? '0.0.0.0' : '::', ...pinned });
    const accepted = server.accept();
    const flow = bed.ours.connect({
      remote: { address: bed.kernelAddress(0, family), port: server.port },
      paths: interfaces.slice(0, options.paths ?? 1).map(interfaceId => ({ interfaceId })),
      ...options.connect,
    });
    await flow.connected();
    return { flow, socket: await accepted, port: server.port };
  }
  const port = nextPort++;
  const listener = bed.ours.listen({ port, ...options.listen });
  const accepted = listener.accept();
  const socket = await bed.kernel.connect({ address: bed.ourAddress(0, family), port, ...pinned });
  return { flow: await accepted, socket, port };
}

/** The counters of a handshake of the first subflow, at the kernel. */
export function handshakeCounters(role: Role): Record<string, number> {
  return role === 'our client'
    ? { MPCapableSYNRX: 1, MPCapableACKRX: 1 }
    : { MPCapableSYNTX: 1, MPCapableSYNACKRX: 1 };
}

/** The same where more is sent than a window holds: a reader that falls behind closes it, and the kernel probes. */
export function streamCounters(role: Role): Record<string, number | 'any'> {
  return { ...handshakeCounters(role), WinProbe: 'any' };
}

/**
 * The counters of joins, at the kernel. With several subflows data comes out of order; the kernel's timer for what
 * nobody has acknowledged may be as short as a tail loss probe's, and fires without any loss (between two kernels too);
 * four times in a row, a few milliseconds in all in which our process does not run, and a subflow is stale until the
 * next acknowledgement.
 */
export function joinCounters(role: Role, joins = 1): Record<string, number | 'any'> {
  const joined: Record<string, number> =
    role === 'our client'
      ? { MPJoinSynRx: joins, MPJoinAckRx: joins }
      : { MPJoinSynTx: joins, MPJoinSynAckRx: joins };
  // What one path carries faster than another waits for it.
  const outOfOrder = { OFOQueue: 'any', OFOQueueTail: 'any', OFOMerge: 'any' } as const;
  const impatient = { MPTCPRetrans: 'any', SubflowStale: 'any', SubflowRecover: 'any' } as const;
  return { ...streamCounters(role), ...joined, ...outOfOrder, ...impatient };
}

/**
 * For our end of cells that count what each subflow carries: no path is taken for silent, and its data sent again by
 * another, because the machine was busy for a moment.
 */
export const PATIENT: { readonly suspectSlackMs: number; readonly rtoMinMs: number } = {
  suspectSlackMs: 10_000,
  rtoMinMs: 1000,
};

/** What one subflow has carried, in bytes each way. */
export function loadOf(flow: OurFlow, index: number): Load {
  const { bytesSent, bytesReceived } = flow.multipath().subflows[index];
  return { sent: bytesSent, received: bytesReceived };
}

export interface Load {
  readonly sent: number;
  readonly received: number;
}

/**
 * Fails when a subflow has carried more than `before`. What the kernel repeats, one fragment at a time, because it was
 * kept from its processor for longer than its timer runs, may go by a backup: that is not its scheduler's choice. And while it takes
 * the other subflow for stale (see joinCounters), the backup is there for that.
 */
export async function assertSpared(bed: Bed, flow: OurFlow, index: number, before: Load): Promise<void> {
  const now = loadOf(flow, index);
  assert.equal(now.sent, before.sent, 'bytes that we have sent by a path that is to be spared');
  const { MPTCPRetrans: repeated = 0, SubflowStale: stale = 0 } = await bed.moved();
  const came = now.received - before.received;
  const isExcused = stale > 0 || came <= repeated * FRAGMENT_BYTES;
  assert.ok(isExcused, `${came} bytes came by a path that is to be spared`);
}

/** Waits until our end has so many subflows in use. */
export function subflows(flow: OurFlow, count: number): Promise<void> {
  return flow.until(() => active(flow) === count);
}

export function active(flow: OurFlow): number {
  return flow.multipath().subflows.filter(subflow => subflow.state === 'active').length;
}

/** Both ways at once, to the end, checked by both ends. */
export async function exchange({ flow, socket }: Pair, bytes: number): Promise<void> {
  const [out, back, atKernel, atUs] = await Promise.all([
    flow.send({ bytes, shutdown: true }),
    socket.send({ bytes, shutdown: true }),
    socket.receive(),
    flow.receive(),
  ]);
  assert.deepEqual([atKernel.sha256, atUs.sha256], [out.sha256, back.sha256]);
}

/** Both ways at once, and goes on. */
export async function exchangeHalf({ flow, socket }: Pair, bytes: number): Promise<void> {
  const [out, back, atKernel, atUs] = await Promise.all([
    flow.send({ bytes }),
    socket.send({ bytes }),
    socket.receive({ bytes }),
    flow.receive({ bytes }),
  ]);
  assert.deepEqual([atKernel.sha256, atUs.sha256], [out.sha256, back.sha256]);
}

/** A few bytes each way: both ends are fully established, and may join. */
export async function greet({ flow, socket }: Pair): Promise<void> {
  const [sent, back] = [await flow.send({ bytes: 100 }), await socket.send({ bytes: 100 })];
  assert.equal((await socket.receive({ bytes: 100 })).sha256, sent.sha256);
  assert.equal((await flow.receive({ bytes: 100 })).sha256, back.sha256);
}

/** Bytes that each subflow has carried, by subflow. */
export function carried(flow: OurFlow): number[] {
  return flow.multipath().subflows.map(subflow => subflow.bytesSent + subflow.bytesReceived);
}

/** Waits for what no event tells of. A cell that was given up meanwhile does not keep its process for it. */
export async function eventually(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise(resolve => setTimeout(resolve, 2).unref());
}

/**
 * A connection with two subflows over two devices. The kernel joins our server because it has an endpoint there, at
 * the address of the first subflow; or (`disjoint`) because we announce another, and then the paths share nothing.
 */
export async function twoSubflows(bed: Bed, role: Role, disjoint = false): Promise<Pair> {
  if (role === 'our server' && !disjoint && !withEndpoint.has(bed)) {
    withEndpoint.add(bed);
    bed.ip(`mptcp endpoint add ${bed.kernelAddress(1)} id 1 subflow`);
  }
  const listen = disjoint ? { advertise: [{ address: bed.ourAddress(1) }] } : {};
  const pair = await connectPair(bed, { role, paths: 2, listen });
  await greet(pair);
  await subflows(pair.flow, 2);
  // Whoever asks the kernel's socket waits until it is locked by nobody, and it has the subflow on its list: what is
  // changed of an endpoint before that passes the subflow by.
  await pair.socket.info();
  return pair;
}

/** Beds whose kernel joins by itself. */
const withEndpoint: WeakSet<Bed> = new WeakSet();
let nextPort = 7000;
/** Most that Linux repeats at once. */
const FRAGMENT_BYTES = 65_536;
