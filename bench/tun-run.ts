// One measurement over TUN, in a process of its own: `node tun-run.js '{"namespace":…}'` prints one line of JSON.
//
// Decides: that our end is a client of the kernel's, that it counts for as long as the kernel's end would, after
// the same warm-up, and that the connection really is what it is measured as.
// Before: tun.ts. Next: tun-bed.ts for the kernel's end; dumb.ts, or the host and driver of this package, for ours.

import { createHash, createHmac, randomFillSync } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { Driver } from '../src/api/driver.ts';
import { type Connection, Host } from '../src/host/index.ts';
import { Tun } from '../src/link/index.ts';
import { openTunDevice } from '../src/link/tun-device.ts';
import { DumbEndpoint } from './dumb.ts';
import { KernelEnd, kernelAddress, ourAddress, placeDevice, SECONDS, WARM_UP_SECONDS } from './tun-bed.ts';

export interface TunRun {
  readonly namespace: string;
  readonly end: 'dumb' | 'stack';
  /** Seen from our end. */
  readonly direction: 'in' | 'out';
  readonly offload: boolean;
  /** TUN devices, and as many subflows. */
  readonly devices: number;
}

export interface TunResult {
  readonly gbitPerSecond: number;
  /** Of this process while it was measured. */
  readonly cpuSecondsPerGB: number;
}

async function measureDumb({ namespace, direction, offload }: TunRun): Promise<TunResult> {
  const device = openTunDevice({ name: deviceName(0), offload });
  placeDevice(namespace, device.name, 0);
  const kernel = new KernelEnd(namespace, {
    address: kernelAddress(0),
    work: direction === 'in' ? 'flood' : 'sink',
  });
  // The poll handle does not keep the process alive.
  const alive = setInterval(() => {}, 1000);
  const endpoint = new DumbEndpoint({
    device,
    local: ourAddress(0),
    remote: kernelAddress(0),
    port: await kernel.port,
    sends: direction === 'out',
  });
  const result = await measured(kernel, direction === 'in' ? () => endpoint.received : undefined);
  clearInterval(alive);
  return result;
}

async function measureStack({ namespace, direction, offload, devices }: TunRun): Promise<TunResult> {
  const host = new Host({ entropy });
  const driver = new Driver(host);
  driver.hold();
  const paths = Array.from({ length: devices }, (_, i) => {
    const tun = new Tun({ name: deviceName(i), offload });
    placeDevice(namespace, tun.name, i);
    return { interfaceId: driver.attach(tun.link(ourAddress(i))), address: kernelAddress(i) };
  });
  const kernel = new KernelEnd(namespace, {
    address: '0.0.0.0',
    work: direction === 'in' ? 'flood' : 'sink',
  });
  const port = await kernel.port;
  const connection = host.connect(
    {
      remote: { address: kernelAddress(0), port },
      paths: paths.map(({ interfaceId, address }) => ({ interfaceId, remote: { address, port } })),
    },
    driver.now(),
  );
  const application = new Application(connection, driver, direction);
  connection.userData = application;
  setTimeout(
    () => {
      const { active, subflows } = connection.multipath();
      if (active && subflows.length === devices) return;
      throw new Error(`not what is to be measured: ${subflows.length} subflows, MPTCP ${active}`);
    },
    (WARM_UP_SECONDS + SECONDS / 2) * 1000,
  );
  const result = await measured(kernel, direction === 'in' ? () => application.received : undefined);
  driver.release();
  return result;
}

/** Unlike any other in use; it is moved into the namespace. */
function deviceName(i: number): string {
  return `mpb${process.pid}d${i}`;
}

/** Reads everything into one buffer, or writes as much as is taken, always the same. */
class Application {
  received = 0;
  readonly #connection: Connection;
  readonly #driver: Driver;
  readonly #writes: boolean;
  readonly #buffer: Uint8Array = new Uint8Array(1 << 18);

  constructor(connection: Connection, driver: Driver, direction: 'in' | 'out') {
    this.#connection = connection;
    this.#driver = driver;
    this.#writes = direction === 'out';
  }

  /** The driver's call. */
  ready(_events: number): void {
    const connection = this.#connection;
    const buffer = this.#buffer;
    while (connection.nextNotice() !== undefined);
    if (this.#writes) {
      while (connection.write(buffer, 0, buffer.length, this.#driver.now()) === buffer.length);
      return;
    }
    for (;;) {
      const length = connection.read(buffer, 0, buffer.length, this.#driver.now());
      if (length === 0) return;
      this.received += length;
    }
  }
}

/** The rate at the receiving end: the kernel's word, or the growth of what `received` tells. */
async function measured(kernel: KernelEnd, received: (() => number) | undefined): Promise<TunResult> {
  await sleep(WARM_UP_SECONDS * 1000);
  const cpu = process.cpuUsage();
  const from = performance.now();
  const before = received?.() ?? 0;
  await sleep(SECONDS * 1000);
  const seconds = (performance.now() - from) / 1000;
  const bytes = (received?.() ?? 0) - before;
  const { user, system } = process.cpuUsage(cpu);
  const gbitPerSecond = received === undefined ? await kernel.gbitPerSecond : (bytes * 8) / seconds / 1e9;
  await kernel.stop();
  return { gbitPerSecond, cpuSecondsPerGB: ((user + system) / 1e6 / seconds / gbitPerSecond) * 8 };
}

const entropy = {
  randomBytes: (into: Uint8Array): void => void randomFillSync(into),
  sha256: (data: Uint8Array): Uint8Array => createHash('sha256').update(data).digest(),
  hmacSha256: (key: Uint8Array, data: Uint8Array): Uint8Array =>
    createHmac('sha256', key).update(data).digest(),
};

const run = JSON.parse(process.argv[2]) as TunRun;
console.log(JSON.stringify(await (run.end === 'dumb' ? measureDumb(run) : measureStack(run))));
process.exit();
