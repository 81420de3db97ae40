// The TCP handle of Node's own event loop, into which a descriptor from elsewhere can be put.
//
// Decides: how its class is had. Node does not export it, but a socket that is about to connect has one;
// destroyed in the same turn that socket never begins to. What is used of handles has been the same from
// Node 20 to 26.
// Walk: waker.ts watches descriptors with one; api/kernel-socket and api/kernel-server read and write with
// them.

import { Socket } from 'node:net';

/** A handle of the event loop; results below 0 are −errno. Its stream closes the descriptor with it. */
export interface TcpHandle {
  /** The descriptor, −1 before there is one. */
  readonly fd: number;
  onconnection: (status: number, client: TcpHandle | undefined) => void;
  /** Takes a descriptor over, connected or not. */
  open(fd: number): number;
  bind(address: string, port: number): number;
  bind6(address: string, port: number, flags: number): number;
  listen(backlog: number): number;
  getsockname(into: object): number;
  /** A number for what it was made for, a socket or a server. */
  getProviderType(): number;
  getpeername(into: object): number;
  close(): void;
  ref(): void;
  unref(): void;
}

/** A handle without a descriptor. */
export function newTcpHandle(kind: 'socket' | 'server'): TcpHandle {
  tcpHandleClass ??= findTcpHandleClass();
  return new tcpHandleClass(kind === 'socket' ? 0 : 1);
}

type TcpHandleClass = new (kind: number) => TcpHandle;

function findTcpHandleClass(): TcpHandleClass {
  const socket = new Socket();
  socket.on('error', () => {});
  socket.connect({ host: '127.0.0.1', port: 9 });
  const made = (socket as unknown as { _handle?: { constructor: TcpHandleClass } })._handle;
  socket.destroy();
  if (made === undefined) throw new Error('this Node gives no handle to put descriptors into');
  return made.constructor;
}

let tcpHandleClass: TcpHandleClass | undefined;
