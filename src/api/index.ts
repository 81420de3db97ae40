// The package's entry: sockets and servers in the shape of node:net, over every network there is.
//
//     import { connect, createServer } from 'mptcp';
//
// Nothing here opens a socket, sets a timer or awaits before it is asked to.

export { isIP, isIPv4, isIPv6 } from 'node:net';
export type { LocalAddress, PathOption } from './addresses.ts';
export { ERRORS, type ErrorCode, MptcpError } from './errors.ts';
export type { Endpoint, FallbackStatus, MultipathStatus, SubflowStatus } from './multipath.ts';
export type {
  ConnectArguments,
  ConnectOptions,
  ListenArguments,
  ListenOptions,
  ProtocolConfig,
  ServerOptions,
  SocketOptions,
} from './options.ts';
export { createServer, type DropInfo, Server } from './server.ts';
export { connect, connect as createConnection, Socket, type SocketAddress } from './socket.ts';
