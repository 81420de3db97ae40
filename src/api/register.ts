// `node --import mptcp/register app.js`: every TCP socket that the program opens or listens on is one of the
// kernel's Multipath TCP.
//
// Decides: where that is done: at the handle, when it is bound or connected and has no descriptor yet, which
// is below everything a program can call, and which makes the second address that Node tries no exception.
// Which sockets: all, or those MPTCP_ALLOW names, without those MPTCP_DENY names; and the one line that says
// so.
// Walk: node:net calls; multipathOf (api/kernel-socket) looks at such a socket.

import { isIPv6 } from 'node:net';
import { release } from 'node:os';
import { adopt, impediment, newTcpHandle, openStream, type TcpHandle } from '../kernel/index.ts';
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
  const prototype = Object.getPrototypeOf(newTcpHandle('socket')) as Record<string, HandleMethod>;
  for (const [name, firstArgument] of Object.entries(METHODS)) {
    const original = prototype[name];
    prototype[name] = function (this: TcpHandle, ...values: unknown[]): number {
      const address = values[firstArgument] as string;
      if (this.fd < 0 && wanted(address, values[firstArgument + 1] as number)) fill(this, address);
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

/** Where a handle's methods have address and port among their arguments. */
const METHODS: Readonly<Record<string, number>> = { connect: 1, connect6: 1, bind: 0, bind6: 0 };

function fill(handle: TcpHandle, address: string): void {
  try {
    adopt(handle, openStream({ family: isIPv6(address) ? 6 : 4, multipath: true }));
  } catch {
    // What keeps us from a descriptor (too many of them, no such family) Node meets next, and reports.
  }
}

function tell(what: string): void {
  process.stderr.write(`mptcp/register: ${what}\n`);
}

register();
