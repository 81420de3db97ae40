// The package's entry: sockets and servers in the shape of node:net, over every network there is.
//
//     import { connect, createServer } from 'mptcp';
//
// Nothing here opens a socket, sets a timer or awaits before it is asked to.

export { isIP, isIPv4, isIPv6 } from 'node:net';
export type { LocalAddress, PathOption } from './addresses.ts';
export {
  type CarrierOptions,
  fetchDispatcher,
  HttpAgent,
  HttpsAgent,
  type UndiciDestination,
  undiciConnector,
} from './agents.ts';
export {
  connect,
  connect as createConnection,
  createServer,
  type MultipathServer,
  type MultipathSocket,
} from './connect.ts';
export type { ConnectionMessage, FallbackMessage, SubflowMessage } from './diagnostics.ts';
export { ERRORS, type ErrorCode, MptcpError } from './errors.ts';
export { KernelServer } from './kernel-server.ts';
export { KernelSocket, multipathOf } from './kernel-socket.ts';
export type {
  Backend,
  Endpoint,
  FallbackStatus,
  MultipathStatus,
  SubflowStatus,
  Unhonoured,
} from './multipath.ts';
export type {
  BackendOption,
  ConnectArguments,
  ConnectOptions,
  ListenArguments,
  ListenOptions,
  ProtocolConfig,
  ServerOptions,
  SocketOptions,
} from './options.ts';
export { type DropInfo, Server } from './server.ts';
export type { Service } from './service.ts';
export { Socket, type SocketAddress } from './socket.ts';
