// `mptcp/kernel`: the Multipath TCP of the Linux kernel, as it is: its sockets' descriptors, what it says of
// them, its counters.

export { newTcpHandle, type TcpHandle } from '../ffi/index.ts';
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
  adopt,
  bindToDevice,
  closeDescriptor,
  duplicate,
  impediment,
  isMultipath,
  openStream,
  reusePort,
  type StreamOptions,
  systemError,
  unacknowledgedBytes,
} from './descriptor.ts';
export type { MptcpInfo, SocketEndpoint, TcpInfo } from './info.ts';
export { type KernelStatus, type KernelSubflow, statusOf, subflowsOf } from './status.ts';
