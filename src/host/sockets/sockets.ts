// Decides which sockets a host has, and which of them has news: `socket()` and `nextReady()` of the socket
// layer. Read: socket(7), tcp(7); Linux is the referee where they leave something open.
// Before: the application. After: sockets/socket; its connections and listeners are the host's.

import type { Host } from '../host.ts';
import { Bindings } from './bindings.ts';
import { constants } from './constants.ts';
import { errno } from './errno.ts';
import { Socket } from './socket.ts';

/** Non-blocking sockets over a host. A host has one such layer at most. */
export class Sockets {
  readonly host: Host;
  readonly bindings: Bindings;

  constructor(host: Host) {
    this.host = host;
    this.bindings = new Bindings(() => host.connections);
    host.isReserved = port => this.bindings.has(port);
  }

  /**
   * socket(2): `domain` AF_INET or AF_INET6, `type` SOCK_STREAM, `protocol` IPPROTO_MPTCP, IPPROTO_TCP or 0.
   * Returns the socket or a negative error.
   */
  socket(domain: number, type: number, protocol: number): Socket | number {
    if (domain !== constants.AF_INET && domain !== constants.AF_INET6) return -errno.EAFNOSUPPORT;
    // No call ever waits, and there is nothing to execute.
    const kind = type & ~(constants.SOCK_NONBLOCK | constants.SOCK_CLOEXEC);
    if (kind !== constants.SOCK_STREAM) return -errno.ESOCKTNOSUPPORT;
    if (protocol === constants.IPPROTO_MPTCP && !this.host.config.mptcpEnabled) return -errno.ENOPROTOOPT;
    if (protocol === constants.IPPROTO_MPTCP) return new Socket({ sockets: this, domain, multipath: true });
    if (protocol !== constants.IPPROTO_TCP && protocol !== 0) return -errno.EPROTONOSUPPORT;
    return new Socket({ sockets: this, domain, multipath: false });
  }

  /**
   * In place of `host.nextReady`: the next socket that may poll differently than before, at most once until
   * something new happens to it. Endpoints that no socket holds are passed over.
   */
  nextReady(): Socket | undefined {
    const { host } = this;
    for (let endpoint = host.nextReady(); endpoint !== undefined; endpoint = host.nextReady()) {
      endpoint.takeEvents();
      if (endpoint.userData instanceof Socket) return endpoint.userData;
    }
    return undefined;
  }

  /** A free ephemeral port to bind to; 0 when there is none. */
  freePort(isFree: (port: number) => boolean): number {
    const { ephemeralFirst, ephemeralLast } = this.host.config;
    const range = ephemeralLast - ephemeralFirst + 1;
    const start = this.host.random32() % range;
    for (let i = 0; i < range; i++) {
      const port = ephemeralFirst + ((start + i) % range);
      if (isFree(port)) return port;
    }
    return 0;
  }
}
