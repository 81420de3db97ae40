// Connecting: every address of the peer is tried, a little after one another, and the first to answer wins.
//
// Decides: the order of the attempts (address families take turns, beginning with the resolver's favourite;
// all over the first path, then all over the second: a Wi-Fi that leads nowhere must not stop a connection
// that LTE could make), what becomes of the losers (aborted, their ports given back), and what is said when
// all fail.
// Read: RFC 8305 §4 and §5.
// Walk: api/socket starts it and gets a session; api/session takes over from there.

import type { EventEmitter } from 'node:events';
import { type Connection, HostError, Ready } from '../host/index.ts';
import { sourceAddressFor } from '../link/index.ts';
import { type LocalAddress, leadAlike, type PathPlan, type PlannedPath } from './addresses.ts';
import { Alarm } from './clock.ts';
import type { Driver } from './driver.ts';
import { codeOf, MptcpError } from './errors.ts';
import type { Network, NetworkInterface } from './network.ts';
import { hostPath, Session, type SessionClient, type SubflowNotice } from './session.ts';

/** A literal address of the peer. */
export interface DialTarget {
  readonly address: string;
  readonly family: 4 | 6;
  readonly port: number;
}

/** Says something of an attempt to connect, as node:net does. */
export function emitAttempt(
  socket: EventEmitter & { autoSelectFamilyAttemptedAddresses?: string[] | undefined },
  event: 'connectionAttempt' | 'connectionAttemptTimeout' | 'connectionAttemptFailed',
  { address, port, family }: DialTarget,
  ...error: readonly Error[]
): void {
  if (event === 'connectionAttempt') {
    socket.autoSelectFamilyAttemptedAddresses ??= [];
    socket.autoSelectFamilyAttemptedAddresses.push(`${address}:${port}`);
  }
  socket.emit(event, address, port, family, ...error);
}

/** What a dial needs to know. */
export interface DialOptions {
  readonly driver: Driver;
  readonly network: Network;
  readonly targets: readonly DialTarget[];
  /** The plan for one target. */
  planFor(target: DialTarget): PathPlan;
  /** Paths were not named: begin with the one the routing table prefers. */
  readonly anyPath: boolean;
  readonly connectTimeoutMs: number;
  readonly attemptDelayMs: number;
  readonly multipath: boolean;
  readonly checksum: boolean;
  readonly fastOpen: boolean;
  readonly config: Parameters<Driver['host']['connect']>[0]['config'];
}

/** Who dialled. */
export interface DialClient {
  attempting(target: DialTarget): void;
  /** It has not been answered for so long that the next is tried beside it. */
  attemptSlow(target: DialTarget): void;
  attemptFailed(target: DialTarget, error: MptcpError): void;
  /** TCP Fast Open: what there is to write already; it stays the client's until the attempt has won. */
  early(take: (bytes: Uint8Array, offset: number, length: number) => number): number;
  /** Whoever takes the session over is its `client` when this returns. */
  connected(session: Session): void;
  failed(error: MptcpError): void;
}

/** One attempt: the first path carries the handshake. */
interface AttemptPlan {
  readonly target: DialTarget;
  readonly plan: PathPlan;
  readonly paths: readonly PlannedPath[];
  /** RFC 7413 §4.2: its SYN asks for a cookie, or has one and data. Of the first attempt alone. */
  readonly fastOpen: boolean;
}

/** One race. */
export class Dial {
  readonly options: DialOptions;
  readonly #client: DialClient;
  readonly #running: Set<Attempt> = new Set();
  readonly #errors: MptcpError[] = [];
  readonly #nextAttempt: Alarm = new Alarm(() => this.#hurry());
  #latest: DialTarget | undefined;
  readonly #deadline: Alarm = new Alarm(() => this.#timedOut());
  #waiting: AttemptPlan[] = [];
  #over = false;

  constructor(options: DialOptions, client: DialClient) {
    this.options = options;
    this.#client = client;
  }

  start(): void {
    // While nothing but a timer is pending, nothing else keeps the process here.
    this.options.driver.hold();
    this.options.network.enter();
    this.#deadline.set(this.options.connectTimeoutMs);
    this.#planAttempts().then(
      plans => {
        if (this.#over) return;
        this.#waiting = plans;
        if (plans.length === 0) this.#fail(this.#noPathError());
        else this.#startNext();
      },
      error => this.#fail(new MptcpError(codeOf(error), { cause: error })),
    );
  }

  /** Gives up without a word. */
  cancel(): void {
    this.#finish(undefined);
  }

  /** What the client has to write already. */
  early(take: (bytes: Uint8Array, offset: number, length: number) => number): number {
    return this.#client.early(take);
  }

  /** One attempt has its answer. */
  won(attempt: Attempt, session: Session): void {
    this.#finish(attempt);
    this.#client.connected(session);
  }

  /** One attempt is over without success; the next need not wait. */
  lost(attempt: Attempt, error: MptcpError): void {
    if (this.#over) return;
    this.#running.delete(attempt);
    this.#errors.push(error);
    this.#client.attemptFailed(attempt.target, error);
    if (this.#waiting.length > 0) this.#startNext();
    else if (this.#running.size === 0) this.#fail(this.#allFailedError());
  }

  /** Ends the race for all but the winner. */
  #finish(winner: Attempt | undefined): void {
    if (this.#over) return;
    this.#over = true;
    this.options.driver.release();
    this.options.network.leave();
    this.#nextAttempt.cancel();
    this.#deadline.cancel();
    this.#waiting = [];
    for (const attempt of this.#running) if (attempt !== winner) attempt.cancel();
    this.#running.clear();
  }

  #fail(error: MptcpError): void {
    if (this.#over) return;
    this.#finish(undefined);
    this.#client.failed(error);
  }

  #hurry(): void {
    if (this.#latest !== undefined) this.#client.attemptSlow(this.#latest);
    this.#startNext();
  }

  #startNext(): void {
    const plan = this.#waiting.shift();
    if (plan === undefined || this.#over) return;
    // RFC 8305 §5: "One recommended value for a default delay is 250 milliseconds."
    if (this.#waiting.length > 0) this.#nextAttempt.set(this.options.attemptDelayMs);
    this.#latest = plan.target;
    const attempt = new Attempt(this, plan);
    this.#running.add(attempt);
    this.#client.attempting(plan.target);
    if (!this.#over) attempt.start();
  }

  async #planAttempts(): Promise<AttemptPlan[]> {
    const addresses = this.options.network.addresses();
    const rounds = await Promise.all(
      interleaveFamilies(this.options.targets).map(target => this.#attemptsAt(target, addresses)),
    );
    const plans: AttemptPlan[] = [];
    for (let i = 0; rounds.some(attempts => i < attempts.length); i++) {
      for (const attempts of rounds) if (i < attempts.length) plans.push(attempts[i]);
    }
    return plans.map((plan, i) => ({ ...plan, fastOpen: this.options.fastOpen && i === 0 }));
  }

  /** One attempt for every path that can carry the handshake. */
  async #attemptsAt(target: DialTarget, addresses: readonly LocalAddress[]): Promise<AttemptPlan[]> {
    const plan = this.options.planFor(target);
    let paths = plan.paths(addresses);
    if (this.options.anyPath) paths = await preferredFirst(paths, target);
    return paths.slice(0, MOST_FIRST_PATHS).map(first => ({
      target,
      plan,
      paths: this.options.multipath ? plan.beginningWith(first, paths) : [first],
      fastOpen: false,
    }));
  }

  #timedOut(): void {
    const { targets, connectTimeoutMs } = this.options;
    this.#fail(
      new MptcpError('ETIMEDOUT', {
        syscall: 'connect',
        address: targets[0].address,
        port: targets[0].port,
        sentence: `no answer within ${connectTimeoutMs} ms`,
        remedy: this.options.network.tun === undefined ? UDP_REMEDY : TUN_REMEDY,
        errors: this.#errors,
      }),
    );
  }

  #noPathError(): MptcpError {
    const [{ address, port, family }] = this.options.targets;
    return new MptcpError('ERR_MPTCP_NO_PATH', {
      syscall: 'connect',
      address,
      port,
      sentence: `no local address can reach ${address}`,
      remedy: `bring up a network with an IPv${family} address, or name one with the option "paths"`,
    });
  }

  #allFailedError(): MptcpError {
    const errors = this.#errors;
    if (errors.length === 1) return errors[0];
    const same = errors.every(error => error.code === errors[0].code);
    return new MptcpError(errors[0].code, {
      ...(errors[0].syscall === undefined ? {} : { syscall: errors[0].syscall }),
      ...(same && errors[0].address !== undefined ? { address: errors[0].address } : {}),
      ...(same && errors[0].port !== undefined ? { port: errors[0].port } : {}),
      sentence: `every attempt failed (${errors.map(error => error.message).join(' | ')})`,
      errors,
    });
  }
}

/** One address over one path. */
export class Attempt implements SessionClient {
  readonly target: DialTarget;
  readonly #dial: Dial;
  readonly #plan: AttemptPlan;
  readonly #notices: SubflowNotice[] = [];
  #session: Session | undefined;
  #over = false;

  constructor(dial: Dial, plan: AttemptPlan) {
    this.#dial = dial;
    this.#plan = plan;
    this.target = plan.target;
  }

  start(): void {
    const [first] = this.#plan.paths;
    const { network } = this.#dial.options;
    const over = network.interfaceFor(first.address);
    network
      .openFlow(over, this.#remote, this)
      .then(localPort => this.#opened(over, localPort))
      .catch(error => this.#lose(this.#errorOf(error)));
  }

  /** Somebody else won, or nobody wants to any more. */
  cancel(): void {
    this.#over = true;
    this.#session?.abort();
  }

  ready(events: number): void {
    const session = this.#session;
    if (session === undefined || this.#over) return;
    if ((events & Ready.CONNECTED) !== 0 && session.connection.error === null) {
      this.#over = true;
      // What came with the same news stays readable: the new owner looks.
      this.#dial.won(this, session);
      for (const notice of this.#notices.splice(0)) session.client?.notice(notice);
      return;
    }
    if ((events & Ready.CLOSED) === 0) return;
    this.#lose(session.errorOf('connect') ?? this.#errorOf({ code: 'ECONNABORTED' }));
  }

  /** Nobody listens yet: kept for the winner's new owner. */
  notice(notice: SubflowNotice): void {
    this.#notices.push(notice);
  }

  /** The flow of the handshake leads to a closed port: as good as a reset. */
  refused(): void {
    if (this.#over) return;
    this.#session?.abort();
    this.#lose(this.#errorOf({ code: 'ECONNREFUSED' }));
  }

  lost(error: MptcpError): void {
    this.#lose(error);
  }

  portRefused(): void {
    this.refused();
  }

  #opened(over: NetworkInterface, localPort: number): void {
    const { driver, network, multipath, checksum, config } = this.#dial.options;
    if (this.#over) {
      network.closeFlow(over, localPort);
      return;
    }
    const [first, ...others] = this.#plan.paths.map(path => hostPath(path, network));
    const { address, port } = this.#plan.target;
    let connection: Connection;
    try {
      connection = driver.host.connect(
        {
          remote: { address, port },
          paths: [{ ...first, localPort }, ...others],
          multipath,
          checksum,
          fastOpen: this.#plan.fastOpen,
          ...(config === undefined ? {} : { config }),
        },
        driver.now(),
      );
    } catch (error) {
      network.closeFlow(over, localPort);
      throw error;
    }
    this.#session = new Session({ driver, network, connection, plan: this.#plan.plan });
    this.#session.client = this;
    network.handFlow(over, localPort, this.#session);
    if (connection.isDeferred) this.#sendEarly(this.#session);
  }

  /** With the cookie of an earlier connection: the SYN leaves now, with what there is to write. */
  #sendEarly(session: Session): void {
    const { connection, driver } = session;
    session.earlyBytes = this.#dial.early((bytes, offset, length) =>
      connection.write(bytes, offset, length, driver.now()),
    );
    connection.begin(driver.now());
  }

  /** Where the handshake goes: the first path may have a remote of its own. */
  get #remote(): { readonly address: string; readonly port: number } {
    return this.#plan.paths[0].remote ?? this.#plan.target;
  }

  #lose(error: MptcpError): void {
    if (this.#over) return;
    this.#over = true;
    if (this.#session !== undefined) this.#session.client = undefined;
    this.#dial.lost(this, error);
  }

  #errorOf(error: unknown): MptcpError {
    if (error instanceof MptcpError) return error;
    const { address, port } = this.#remote;
    return new MptcpError(codeOf(error), {
      syscall: 'connect',
      address,
      port,
      ...(error instanceof HostError ? { sentence: error.message } : {}),
      ...(error instanceof Error ? { cause: error } : {}),
    });
  }
}

/**
 * RFC 8305 §4: "Whichever address family is first in the list should be followed by an address of the other
 * address family"
 */
export function interleaveFamilies(targets: readonly DialTarget[]): DialTarget[] {
  const first = targets.filter(target => target.family === targets[0].family);
  const second = targets.filter(target => target.family !== targets[0].family);
  const mixed: DialTarget[] = [];
  for (let i = 0; i < Math.max(first.length, second.length); i++) {
    if (i < first.length) mixed.push(first[i]);
    if (i < second.length) mixed.push(second[i]);
  }
  return mixed;
}

/**
 * Puts the path the routing table would choose in front. Without a route the order stays: a rule may know
 * one.
 */
async function preferredFirst(paths: PlannedPath[], target: DialTarget): Promise<PlannedPath[]> {
  let source: string;
  try {
    source = await sourceAddressFor(target);
  } catch {
    return paths;
  }
  const preferred = paths.find(path => leadAlike(path.address, source)) ?? unlistedPath(source, target);
  return [preferred, ...paths.filter(path => path !== preferred)];
}

/**
 * The system would use an address that is no path of its own accord: the peer is this machine, or next door.
 */
function unlistedPath(source: string, target: DialTarget): PlannedPath {
  return { address: source, family: target.family, name: source, backup: false, cost: 0 };
}

const UDP_REMEDY =
  'UDP may be blocked on the way, or the server may speak plain TCP over IP and not TCP-in-UDP ' +
  '(is this package, or its gateway, at the other end?)';
const TUN_REMEDY =
  'is the TUN device up, does the kernel route our address to it, and does it forward to the server ' +
  '("mptcp tun up" sets up the first two)?';
/** RFC 8305 §5: between two attempts, unless told. */
export const ATTEMPT_DELAY_MS = 250;
/** Of many local addresses, how many are tried for the handshake. */
const MOST_FIRST_PATHS = 3;
