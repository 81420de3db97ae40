// The ports of a server: the same one on one address or on many.
//
// Decides: that port 0 means one free port on all addresses, that an address which appears later is listened
// on too, and that a socket stays open behind a closed server while a connection still uses it.
// Walk: api/server opens and closes; link/udp holds the sockets.

import type { LocalAddress } from './addresses.ts';
import { codeOf, MptcpError } from './errors.ts';
import type { AddressObserver } from './network.ts';
import type { Stack } from './stack.ts';

/** Where to listen. */
export interface ListeningPortsOptions {
  readonly stack: Stack;
  /** 0: any that is free. */
  readonly port: number;
  /** Addresses that must work. */
  readonly first: readonly string[];
  /** Which of this machine's addresses besides, now and later. */
  readonly accepts: (local: LocalAddress) => boolean;
}

/** One port, listened on. */
export class ListeningPorts implements AddressObserver {
  readonly #options: ListeningPortsOptions;
  readonly #opened: Set<string> = new Set();
  #port = 0;
  #closed = false;

  constructor(options: ListeningPortsOptions) {
    this.#options = options;
    options.stack.network.enter();
  }

  get port(): number {
    return this.#port;
  }

  /** Opens the port everywhere; rejects, with nothing left open, when that cannot be. */
  async open(): Promise<void> {
    const { stack, port, first, accepts } = this.#options;
    const others = stack.network.addresses().filter(accepts);
    const addresses = [...new Set([...first, ...others.map(local => local.address)])];
    if (addresses.length === 0) {
      throw new MptcpError('EADDRNOTAVAIL', { syscall: 'listen', sentence: 'no address to listen on' });
    }
    for (let attempt = 1; ; attempt++) {
      try {
        await this.#openAll(addresses, new Set(first));
        break;
      } catch (error) {
        this.#releaseAll();
        // The port that was free on the first address is taken on another: ask for one more.
        if (port !== 0 || codeOf(error) !== 'EADDRINUSE' || attempt === MOST_ATTEMPTS) throw error;
      }
    }
    stack.network.observe(this);
  }

  /** Listens no more. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#options.stack.network.unobserve(this);
    this.#releaseAll();
    this.#options.stack.network.leave();
  }

  addressAppeared(local: LocalAddress): void {
    if (!this.#options.accepts(local)) return;
    // Not there yet, or taken by somebody: the next look at the addresses does not bring it again.
    this.#openAt(local.address, this.#port).catch(() => {});
  }

  addressVanished(local: LocalAddress): void {
    this.#opened.delete(local.address);
  }

  async #openAll(addresses: readonly string[], needed: ReadonlySet<string>): Promise<void> {
    this.#port = this.#options.port;
    for (const address of addresses) {
      try {
        this.#port = await this.#openAt(address, this.#port);
      } catch (error) {
        // An address of the list may have gone, or be of a kind that cannot be bound yet.
        if (needed.has(address) || codeOf(error) !== 'EADDRNOTAVAIL') throw error;
      }
    }
    if (this.#opened.size === 0) throw new MptcpError('EADDRNOTAVAIL', { syscall: 'listen' });
  }

  async #openAt(address: string, port: number): Promise<number> {
    const { link } = this.#options.stack.network.interfaceFor(address);
    const opened = await link.openListener(port);
    this.#opened.add(address);
    if (this.#closed) this.#releaseAll();
    return opened;
  }

  #releaseAll(): void {
    const { network } = this.#options.stack;
    for (const address of this.#opened) network.closeListener(address, this.#port);
    this.#opened.clear();
  }
}

const MOST_ATTEMPTS = 20;
