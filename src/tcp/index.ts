// The room `tcp`: one TCP connection (RFC 9293), complete on its own, with one extension slot.

export { addressSegment } from './addressing.ts';
export { type ByteStream, Ready, type StreamOwner } from './byte-stream.ts';
export { TCP_DEFAULTS, type TcpConfig } from './config.ts';
export { COUNTERS, type CounterName, newCounters } from './counters.ts';
export { type Entropy, Environment, type NetworkInterface, Shared } from './environment.ts';
export type { CloseReason, Extension } from './extension.ts';
export { FastOpenClient, type FastOpenMemory, FastOpenServer, isEarly, synRoom } from './fast-open.ts';
export { acknowledgesNothing, openPassive } from './handshake.ts';
export { receiveSegment } from './input.ts';
export {
  armPersist,
  noteLimit,
  segmentBytes,
  sendSpace,
  transmitAck,
  transmitControl,
  transmitData,
  transmitFin,
  transmitHeadAgain,
} from './output.ts';
export { PlainStream, type PlainStreamOptions } from './plain-stream.ts';
export { RangeSet } from './range-set.ts';
export { newBuffers, ReceiveBuffer } from './receive-buffer.ts';
export { SendBuffer } from './send-buffer.ts';
export { Sent } from './sent-queue.ts';
export { isSynchronized, STATE_NAMES, State } from './state.ts';
export { Hold, holdAfter, Recovery, Tcb, windowScaleFor } from './tcb.ts';
export { expireTimers, restartRetransmissionTimer, Timer } from './timers.ts';
