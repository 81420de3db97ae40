// One connection of the host from its first packet to its last, whether or not a socket still looks at it.
//
// Decides: what outlives a socket. An application may let go while bytes are still on their way; until the
// host says that all is over, the session opens the flows the host asks for, offers it addresses that appear,
// and keeps the process alive.
// Walk: api/driver → here → api/socket; api/dial and api/server make sessions.

import { type Connection, Ready } from '../host/index.ts';
import type { LocalAddress, PathPlan, PlannedPath } from './addresses.ts';
import { Alarm } from './clock.ts';
import type { Driver, EndpointOwner } from './driver.ts';
import { codeOf, MptcpError } from './errors.ts';
import type { AddressObserver, Network, PortOwner } from './network.ts';
import { Refusals } from './refusals.ts';

type Notice = NonNullable<ReturnType<Connection['nextNotice']>>;
type FlowRequest = Extract<Notice, { type: 'flow' }>['request'];

type HostPath = Parameters<Connection['addPath']>[0];

/** News about subflows; what remains of notices when requests for flows are answered. */
export type SubflowNotice = Exclude<Notice, { type: 'flow' }>;

/** Whoever looks at a connection: an attempt to connect, then a socket. */
export interface SessionClient {
  ready(events: number): void;
  notice(notice: SubflowNotice): void;
  /** The network says that nobody listens at the other end of the flow of the handshake. */
  refused(): void;
  /** The connection has ended for a reason the host does not know. */
  lost(error: MptcpError): void;
}

/** How a session is made. */
export interface SessionOptions {
  readonly driver: Driver;
  readonly network: Network;
  readonly connection: Connection;
  /** A client's paths; a server opens none. */
  readonly plan?: PathPlan;
}

/** A connection and everything around it that is not the application's. */
export class Session implements EndpointOwner, AddressObserver, PortOwner {
  readonly driver: Driver;
  readonly network: Network;
  readonly connection: Connection;
  client: SessionClient | undefined;
  /** Of what the client had to write, the bytes that the connection took before it was established. */
  earlyBytes = 0;
  readonly #plan: PathPlan | undefined;
  #held = true;
  #over = false;
  #linger: Alarm | undefined;
  readonly #refusals: Refusals = new Refusals();

  constructor(options: SessionOptions) {
    this.driver = options.driver;
    this.network = options.network;
    this.connection = options.connection;
    this.#plan = options.plan;
    this.connection.userData = this;
    this.driver.hold();
    this.network.enter();
    if (this.#plan !== undefined) this.network.observe(this);
  }

  /** Nothing more will happen here. */
  get over(): boolean {
    return this.#over;
  }

  ready(events: number): void {
    if ((events & Ready.NOTICE) !== 0) this.#readNotices();
    // First the books, then the application, whose handlers may throw.
    if ((events & Ready.CLOSED) !== 0) this.#end();
    this.client?.ready(events);
  }

  /** Lets the process live, or not, for this connection's sake. */
  ref(): void {
    if (this.#held || this.#over) return;
    this.#held = true;
    this.driver.hold();
  }

  unref(): void {
    if (!this.#held) return;
    this.#held = false;
    this.driver.release();
  }

  /** The application lets go; what was written is still delivered. */
  close(): void {
    this.client = undefined;
    if (this.#over) return;
    this.connection.close(this.driver.now());
    this.#lingerOn();
  }

  /** The connection ends here and now, and the peer hears of it. */
  abort(): void {
    this.client = undefined;
    if (this.#over) return;
    this.connection.abort(this.driver.now());
    this.#end();
  }

  addPath(path: PlannedPath): void {
    if (!this.#over) this.connection.addPath(hostPath(path, this.network), this.driver.now());
  }

  /** What ended the connection, as an error of `syscall`; undefined when nothing was wrong. */
  errorOf(syscall: string): MptcpError | undefined {
    const { error, errorReason, remote } = this.connection;
    if (error === null) return undefined;
    return new MptcpError(error, {
      syscall,
      address: remote.address,
      port: remote.port,
      ...(errorReason === '' ? {} : { sentence: errorReason }),
    });
  }

  addressAppeared(appeared: LocalAddress): void {
    const paths = this.#plan?.pathsOver(appeared, this.network.addresses()) ?? [];
    for (const path of paths) this.addPath(path);
  }

  addressVanished(): void {}

  portRefused(localPort: number): void {
    if (this.#over) return;
    const { connection, driver, client } = this;
    if (!connection.connected) {
      client?.refused();
      return;
    }
    if (!this.#refusals.note(localPort, connection, driver.now())) return;
    const { address, port } = connection.remote;
    this.abort();
    client?.lost(
      new MptcpError('ECONNRESET', {
        ...{ syscall: 'read', address, port },
        sentence: "the peer's port is closed on every path: its process has ended",
      }),
    );
  }

  /** A process that has nothing else to do waits for the last bytes, but not for a peer that has gone. */
  #lingerOn(): void {
    if (!this.#held) return;
    let unacknowledged = this.connection.unacknowledgedBytes;
    this.#linger = new Alarm(() => {
      const left = this.connection.unacknowledgedBytes;
      if (left >= unacknowledged) {
        this.unref();
        return;
      }
      unacknowledged = left;
      this.#linger?.set(LINGER_MS);
    });
    this.#linger.set(LINGER_MS);
  }

  #readNotices(): void {
    for (;;) {
      const notice = this.connection.nextNotice();
      if (notice === undefined) return;
      if (notice.type === 'flow') this.#openFlow(notice.request);
      else this.client?.notice(notice);
    }
  }

  #openFlow(request: FlowRequest): void {
    const over = this.network.interfaceById(request.interfaceId);
    if (over === undefined) {
      this.connection.flowFailed(request.id, this.driver.now());
      return;
    }
    this.network.openFlow(over, request.remote, this).then(
      localPort => {
        const { connection, driver } = this;
        const taken = !this.#over && connection.flowOpened(request.id, localPort, driver.now());
        if (!taken) this.network.closeFlow(over, localPort);
      },
      error => {
        this.driver.counters[`flowFailed ${codeOf(error)}`] ??= 0;
        this.driver.counters[`flowFailed ${codeOf(error)}`]++;
        if (!this.#over) this.connection.flowFailed(request.id, this.driver.now());
      },
    );
  }

  #end(): void {
    if (this.#over) return;
    this.#over = true;
    this.#linger?.cancel();
    this.unref();
    this.network.leave();
    if (this.#plan !== undefined) this.network.unobserve(this);
  }
}

/** A planned path in the host's terms. */
export function hostPath(path: PlannedPath, network: Network): HostPath {
  const { address, name, backup, cost, remote } = path;
  const interfaceId = network.interfaceFor(address).id;
  return { interfaceId, name, backup, cost, ...(remote === undefined ? {} : { remote }) };
}

/** Without progress for so long, what is left of a closed connection keeps no process alive. */
const LINGER_MS = 5000;
