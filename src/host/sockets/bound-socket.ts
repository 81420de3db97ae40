// Decides what a socket holds of the host's addresses and ports, from bind or because it needs one.
// Read: ip(7). Before: sockets/socket, which is one. After: sockets/bindings.

import type { Binding } from './bindings.ts';
import { constants } from './constants.ts';
import { errno } from './errno.ts';
import type { Settings } from './settings.ts';
import type { Sockets } from './sockets.ts';

export abstract class BoundSocket implements Binding {
  readonly domain: number;
  /** Made with IPPROTO_MPTCP. */
  readonly multipath: boolean;
  readonly settings: Settings;
  readonly sockets: Sockets;
  protected boundWords: Int32Array | null = null;
  protected boundPort = 0;
  protected isBound = false;

  constructor(options: { sockets: Sockets; domain: number; multipath: boolean; settings: Settings }) {
    this.sockets = options.sockets;
    this.domain = options.domain;
    this.multipath = options.multipath;
    this.settings = options.settings;
  }

  abstract get isListening(): boolean;

  get families(): readonly (4 | 6)[] {
    if (this.domain === constants.AF_INET) return ONLY_4;
    return this.settings.v6Only || (this.boundWords !== null && !this.isBoundToIpv4) ? ONLY_6 : BOTH;
  }

  get words(): Int32Array | null {
    return this.boundWords;
  }

  get port(): number {
    return this.boundPort;
  }

  get reuseAddress(): boolean {
    return this.settings.reuseAddress;
  }

  get reusePort(): boolean {
    return this.settings.reusePort;
  }

  /** Binds to an address, null for all, and a port, 0 for a free one. 0 or a negative error. */
  protected take(words: Int32Array | null, port: number): number {
    const { bindings } = this.sockets;
    this.boundWords = words;
    this.boundPort = port;
    let refused = 0;
    if (port !== 0) {
      refused = bindings.refusal(this);
    } else {
      const found = this.sockets.freePort(candidate => {
        this.boundPort = candidate;
        return !bindings.has(candidate) && bindings.refusal(this) === 0;
      });
      this.boundPort = found;
      if (found === 0) refused = -errno.EADDRINUSE;
    }
    if (refused < 0) {
      this.boundWords = null;
      this.boundPort = 0;
      return refused;
    }
    this.isBound = true;
    bindings.add(this);
    return 0;
  }

  protected unbind(): void {
    if (!this.isBound) return;
    this.sockets.bindings.remove(this);
    this.isBound = false;
  }

  private get isBoundToIpv4(): boolean {
    return this.boundWords !== null && this.boundWords[2] === 0xffff && this.boundWords[0] === 0;
  }
}

const ONLY_4: readonly (4 | 6)[] = [4];
const ONLY_6: readonly (4 | 6)[] = [6];
const BOTH: readonly (4 | 6)[] = [4, 6];
