// Decides what a connection without MPTCP is made of: one plain stream, its buffers, one TCP block.

import type { SubflowInfo } from '../mptcp/index.ts';
import { type Environment, isSynchronized, newBuffers, PlainStream, type Tcb } from '../tcp/index.ts';
import type { Config } from './config.ts';
import type { Connection } from './connection.ts';
import type { FlowEndpoint, Flows } from './flows.ts';

/** Gives a connection its stream and block; null when no port is free or the four values are taken. */
export function openPlain(
  flows: Flows,
  connection: Connection,
  options: FlowEndpoint & { env: Environment<Config>; now: number },
): Tcb | null {
  const stream = new PlainStream({ owner: connection, ...newBuffers(options.env.config) });
  const tcb = flows.open(connection, { ...options, extension: stream });
  if (tcb === null) return null;
  connection.stream = stream;
  stream.tcb = tcb;
  connection.setEndpoints(tcb);
  return tcb;
}

/** The block of a connection that is plain TCP, from the start or after falling back. */
export function tcbOf(connection: Connection): Tcb {
  return (connection.stream as PlainStream).tcb;
}

/** The one subflow of a plain TCP connection, in the words of MPTCP. */
export function plainSubflowInfo(connection: Connection): SubflowInfo {
  const tcb = tcbOf(connection);
  return {
    id: 0,
    name: tcb.networkInterface.name,
    interfaceId: tcb.networkInterface.id,
    local: { address: connection.local.address, port: connection.local.port },
    remote: { address: connection.remote.address, port: connection.remote.port },
    state: connection.closed ? 'closed' : isSynchronized(tcb.state) ? 'active' : 'connecting',
    backup: false,
    rttMs: tcb.rtt.srttMs,
    cwndBytes: tcb.congestion.cwndBytes,
    bytesSent: tcb.bytesSent,
    bytesReceived: tcb.bytesReceived,
    bytesReinjected: 0,
  };
}
