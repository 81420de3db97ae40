// `node --import mptcp/register app.js`: every TCP socket that the program opens or listens on is one of the
// kernel's Multipath TCP.
//
// Decides: where that is done: at the handle, when it is bound or connected and has no descriptor yet, which
// is below everything a program can call, and which makes the second address that Node tries no exception.
// Which sockets: all, or those MPTCP_ALLOW names, without those MPTCP_DENY names; and the one line that says
// so, of the program and not of its threads and workers again.
// Walk: node:net calls; multipathOf (api/kernel-socket) looks at such a socket.

import cluster from 'node:cluster';
import { isIPv6 } from 'node:net';
import { release } from 'node:os';
import { isMainThread } from 'node:worker_threads';
import { adopt, impediment, newTcpHandle, openStream, replace, type TcpHandle } from '../kernel/index.ts';
import { Destinations } from './destinations.ts';

function register(): void {
  const missing = impediment();
  if (missing !== undefined) {
    tell(`sockets stay plain TCP: ${missing.message}`);
    return;
  }
  const allowed = Destinations.parse(process.env['MPTCP_ALLOW'] ?? '', 'MPTCP_ALLOW');
  const denied = Destinations.parse(process.env['MPTCP_DENY'] ?? '', 'MPTCP_DENY');
  const wanted = (address: string, port: number): boolean =>
    (allowed.empty || allowed.has(address, port)) && !denied.has(address, port);
  const one = newTcpHandle('socket');
  const ofSockets = one.getProviderType();
  const prototype = Object.getPrototypeOf(one) as Record<string, HandleMethod>;
  const bound = new WeakMap<TcpHandle, () => number>();
  for (const name of ['bind', 'bind6']) {
    const original = prototype[name];
    prototype[name] = function (this: TcpHandle, ...values: unknown[]): number {
      const [address, port] = values as [string, number];
      const connects = this.getProviderType() === ofSockets;
      if (this.fd < 0 && (connects || wanted(address, port))) {
        fill(this, address);
        if (connects && this.fd >= 0) bound.set(this, () => original.apply(this, values));
      }
      return original.apply(this, values);
    };
  }
  for (const name of ['connect', 'connect6']) {
    const original = prototype[name];
    prototype[name] = function (this: TcpHandle, ...values: unknown[]): number {
      const [, address, port] = values as [unknown, string, number];
      const bindAgain = bound.get(this);
      const is = wanted(address, port);
      if (this.fd < 0 && is) fill(this, address);
      else if (bindAgain !== undefined && !is) {
        // It has a local address, and was made before it was known where it goes.
        const status = toPlain(this, address) ?? bindAgain();
        if (status < 0) return status;
      }
      return original.apply(this, values);
    };
  }
  const which = [
    allowed.empty ? 'TCP sockets' : `TCP sockets of ${allowed}`,
    denied.empty ? '' : ` but ${denied}`,
  ].join('');
  tell(`${which} are Multipath TCP of the kernel (Linux ${release()})`);
}

type HandleMethod = (this: TcpHandle, ...values: unknown[]) => number;

function fill(handle: TcpHandle, address: string): void {
  try {
    adopt(handle, openStream({ family: isIPv6(address) ? 6 : 4, multipath: true }));
  } catch {
    // What keeps us from a descriptor (too many of them, no such family) Node meets next, and reports.
  }
}

/** Makes plain TCP of what is not connected yet; −errno when there is no socket to be had. */
function toPlain(handle: TcpHandle, address: string): number | undefined {
  try {
    replace(openStream({ family: isIPv6(address) ? 6 : 4, multipath: false }), handle.fd);
    return undefined;
  } catch (error) {
    return (error as NodeJS.ErrnoException).errno ?? -1;
  }
}

function tell(what: string): void {
  if (!isMainThread || cluster.isWorker) return;
  process.stderr.write(`mptcp/register: ${what}\n`);
}

register();
