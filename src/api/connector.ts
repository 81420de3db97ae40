// From the options of `connect` to an established connection: names are resolved, paths planned, addresses
// raced.
//
// Decides: what has to be known before the first packet, and that whoever asked may stop asking at any
// moment.
// Walk: api/socket → here → api/resolve → api/dial → api/session.

import { checkDevices, PathPlan, type PathSpec } from './addresses.ts';
import { ATTEMPT_DELAY_MS, Dial, type DialTarget } from './dial.ts';
import { CONNECT_TIMEOUT_MS, type ConnectOptions } from './options.ts';
import { lookupError, resolveHost, resolveTargets } from './resolve.ts';
import type { Session } from './session.ts';
import { type Stack, stackFor } from './stack.ts';

/** Who wants to be connected. */
export interface ConnectorClient {
  lookedUp(error: Error | null, address: string | undefined, family: number | undefined, host: string): void;
  attempting(target: DialTarget): void;
  attemptSlow(target: DialTarget): void;
  attemptFailed(target: DialTarget, error: Error): void;
  early(take: (bytes: Uint8Array, offset: number, length: number) => number): number;
  connected(session: Session): void;
  failed(error: Error): void;
}

/** One connect. */
export class Connector {
  readonly #options: ConnectOptions;
  readonly #client: ConnectorClient;
  #dial: Dial | undefined;
  #cancelled = false;

  constructor(options: ConnectOptions, client: ConnectorClient) {
    this.#options = options;
    this.#client = client;
  }

  start(): void {
    this.#prepare().then(
      dial => {
        if (this.#cancelled) return;
        this.#dial = dial;
        dial.start();
      },
      error => {
        if (!this.#cancelled) this.#client.failed(error as Error);
      },
    );
  }

  /** Stops without a word. */
  cancel(): void {
    this.#cancelled = true;
    this.#dial?.cancel();
  }

  async #prepare(): Promise<Dial> {
    const { link, mtu, pcap } = this.#options;
    const stack = stackFor({ link, mtu, pcap });
    stack.network.enter();
    try {
      return await this.#prepareOn(stack);
    } finally {
      stack.network.leave();
    }
  }

  async #prepareOn({ driver, network }: Stack): Promise<Dial> {
    const { paths, device, config, multipath, checksum, fastOpen, connectTimeoutMs } = this.#options;
    if (network.tun !== undefined) {
      for (const path of paths ?? []) network.tun.place(path, device);
      // A device that cannot be had is one error, not one for every attempt.
      for (const { local } of paths ?? []) network.interfaceFor(local);
    } else if (paths !== undefined) {
      checkDevices(paths, network.addresses());
    }
    const onLookup = (error: Error | null, address?: string, family?: number): void => {
      if (!this.#cancelled) this.#client.lookedUp(error, address, family, this.#options.host ?? 'localhost');
    };
    const handover = this.#options.service === 'handover';
    const [targets, specs] = await Promise.all([resolveTargets(this.#options, onLookup), this.#pathSpecs()]);
    return new Dial(
      {
        ...{ driver, network, targets },
        planFor: target => new PathPlan(specs, { address: target.address, port: target.port }, { handover }),
        anyPath: specs === undefined,
        connectTimeoutMs: connectTimeoutMs ?? CONNECT_TIMEOUT_MS,
        attemptDelayMs: this.#options.autoSelectFamilyAttemptTimeout ?? ATTEMPT_DELAY_MS,
        multipath: multipath ?? true,
        checksum: checksum ?? false,
        fastOpen: fastOpen ?? false,
        config,
      },
      this.#client,
    );
  }

  /** The paths asked for, their remotes as addresses. */
  async #pathSpecs(): Promise<PathSpec[] | undefined> {
    const { paths, lookup } = this.#options;
    if (paths === undefined) return undefined;
    return Promise.all(
      paths.map(async ({ remote, ...path }) => {
        if (remote === undefined) return path;
        const { host, port } = remote;
        try {
          const [{ address }] = await resolveHost({ host, ...(lookup === undefined ? {} : { lookup }) });
          return { ...path, remote: { address, port } };
        } catch (error) {
          throw lookupError(error, host);
        }
      }),
    );
  }
}
