/**
 * `mptcp/core`: the whole stack without I/O. Raw IP packets in and out, `now` (ms, monotonic) an argument,
 * the next deadline queryable, entropy injected. See docs/ARCHITECTURE.md for the five verbs and
 * docs/api/core.md.
 */

export type {
  EndpointEntry,
  EndpointLimits,
  EndpointOptions,
  Endpoints,
  FlowRequest,
  MultipathInfo,
  NetworkMemory,
  NetworkRecord,
  Notice,
  PathOptions,
  SubflowInfo,
} from '../mptcp/index.ts';
export { type CounterName, type Entropy, Ready } from '../tcp/index.ts';
export { type Config, DEFAULT_CONFIG, LINUX_CONFIG } from './config.ts';
export { Connection, type Endpoint } from './connection.ts';
export { HostError } from './errors.ts';
export { FastOpenBit } from './fast-open.ts';
export {
  type ConnectOptions,
  Host,
  type HostOptions,
  type ListenOptions,
} from './host.ts';
export type { InterfaceOptions } from './interfaces.ts';
export { type AdvertisedAddress, Listener } from './listener.ts';
export { constants } from './sockets/constants.ts';
export { type ErrnoName, errno, errnoName } from './sockets/errno.ts';
export type { MultipathSocketInfo, SubflowAddresses, TcpInfo } from './sockets/info.ts';
export type { OptionValue } from './sockets/option-kinds.ts';
export type { SocketAddress } from './sockets/place.ts';
export { Socket } from './sockets/socket.ts';
export { Sockets } from './sockets/sockets.ts';
export { type Sysctl, Sysctls } from './sysctls.ts';
