// The room `mptcp`: Multipath TCP version 1 (RFC 8684) over tcp's extension slot.

export { MPTCP_DEFAULTS, type MptcpConfig } from './config.ts';
export { MultipathConnection } from './connection.ts';
export { FALLBACK_CAUSES } from './fallback.ts';
export { validCapableSyn } from './handshake.ts';
export { NetworkMemory, type NetworkRecord } from './network-memory.ts';
export type {
  FallbackInfo,
  FlowRequest,
  MultipathInfo,
  MultipathOwner,
  Notice,
  PathOptions,
  SubflowInfo,
} from './observation.ts';
export { acceptFirst, joinCrossed, joinRequested, openFirst, sendFirst } from './opening.ts';
export {
  type EndpointEntry,
  type EndpointLimits,
  type EndpointOptions,
  Endpoints,
} from './paths/endpoints.ts';
export { ResetReason } from './reset-reason.ts';
export type { Path, Scheduler } from './scheduler/scheduler.ts';
export { changeController, interfaceGone, limitMtu, removePath } from './subflow-life.ts';
