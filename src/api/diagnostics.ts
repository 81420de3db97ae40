// What is published for observers of the whole process (node:diagnostics_channel), whichever backend a
// connection is of, beside the events that its socket emits.
//
// Decides: the names of the channels and what a message holds; that Node's own two channels of net hear of
// our sockets, too.
// Walk: api/socket, api/kernel-socket and the servers call this where they emit.

import { channel } from 'node:diagnostics_channel';
import type { EventEmitter } from 'node:events';
import type { FallbackStatus, SubflowStatus } from './multipath.ts';

/** Message of 'mptcp.connection': a connection is established. */
export interface ConnectionMessage {
  readonly socket: EventEmitter;
  readonly side: 'client' | 'server';
}

/** Message of 'mptcp.subflow': a path is in use (`reason` is null), or is no longer. */
export interface SubflowMessage {
  readonly socket: EventEmitter;
  readonly subflow: SubflowStatus;
  readonly reason: string | null;
}

/** Message of 'mptcp.fallback': a connection is plain TCP. */
export interface FallbackMessage {
  readonly socket: EventEmitter;
  readonly fallback: FallbackStatus;
}

/** Whether anybody wants to know of subflows, which the kernel has to be asked for. */
export function subflowsAreObserved(): boolean {
  return subflows.hasSubscribers;
}

/** A socket is about to connect. */
export function clientMade(socket: EventEmitter): void {
  if (netClients.hasSubscribers) netClients.publish({ socket });
}

/** A connection is established. */
export function connectionMade(socket: EventEmitter, side: ConnectionMessage['side']): void {
  if (side === 'server' && netServers.hasSubscribers) netServers.publish({ socket });
  if (connections.hasSubscribers) connections.publish({ socket, side } satisfies ConnectionMessage);
}

/** Publishes and emits that a path is in use. */
export function subflowOpened(socket: EventEmitter, subflow: SubflowStatus): void {
  if (subflows.hasSubscribers) subflows.publish({ socket, subflow, reason: null } satisfies SubflowMessage);
  socket.emit('subflow', subflow);
}

/** Publishes and emits that a path is no longer in use. */
export function subflowClosed(socket: EventEmitter, subflow: SubflowStatus, reason: string): void {
  if (subflows.hasSubscribers) subflows.publish({ socket, subflow, reason } satisfies SubflowMessage);
  socket.emit('subflowclose', subflow, reason);
}

/** Publishes and emits that the connection is plain TCP. */
export function fellBack(socket: EventEmitter, fallback: FallbackStatus): void {
  if (fallbacks.hasSubscribers) fallbacks.publish({ socket, fallback } satisfies FallbackMessage);
  socket.emit('fallback', fallback);
}

const connections: ReturnType<typeof channel> = channel('mptcp.connection');
const subflows: ReturnType<typeof channel> = channel('mptcp.subflow');
const fallbacks: ReturnType<typeof channel> = channel('mptcp.fallback');
const netClients: ReturnType<typeof channel> = channel('net.client.socket');
const netServers: ReturnType<typeof channel> = channel('net.server.socket');
