// `mptcp/kernel`: the Multipath TCP of the Linux kernel, as it is: its sockets' descriptors, what it says of
// them, its counters, every such socket of the host, its path manager.

export { newTcpHandle, type TcpHandle } from '../ffi/index.ts';
export { COUNTER_MEANINGS } from './counter-meanings.ts';
export {
  beginCounting,
  type Counters,
  FALLBACK_COUNTERS,
  likelyFallbackCause,
  movedCounters,
  multipathCounters,
  parseCounters,
} from './counters.ts';
export {
  acceptWithData,
  adopt,
  bindToDevice,
  closeDescriptor,
  connectWithData,
  duplicate,
  impediment,
  isMultipath,
  openStream,
  replace,
  reusePort,
  type StreamOptions,
  setTypeOfService,
  systemError,
  typeOfService,
  unacknowledgedBytes,
} from './descriptor.ts';
export type { MptcpInfo, SocketEndpoint, TcpInfo } from './info.ts';
export { followLinks, interfaceIndexOf } from './links.ts';
export type { PathEvent, PathEventName } from './path-event.ts';
export {
  type KernelEndpoint,
  type KernelLimits,
  KernelPathManager,
  mayManagePaths,
  type NewEndpoint,
  pathManagerKind,
  type SubflowEnd,
} from './path-manager.ts';
export {
  type MultipathEntry,
  multipathSockets,
  type SocketEntry,
  type SubflowEntry,
  subflowBetween,
} from './sock-diag.ts';
export { type KernelStatus, type KernelSubflow, statusOf, subflowsOf } from './status.ts';
