// Decides what a transport offers to the host's Connection, whichever it is: plain TCP (tcp/plain-stream) or
// Multipath TCP (mptcp/connection). One shape, so that fallback is a change of object and nothing above
// notices.

import type { CloseReason } from './extension.ts';
import type { ReceiveBuffer } from './receive-buffer.ts';
import type { SendBuffer } from './send-buffer.ts';

/** What has become possible; bits, handed out once (host.nextReady). */
export const Ready = {
  CONNECTED: 1,
  READABLE: 2,
  WRITABLE: 4,
  /** The peer has finished sending. */
  END: 8,
  /** Nothing more will happen on the wire; `error` may be set. Bytes may still be readable. */
  CLOSED: 16,
  /** Something to read with nextNotice. */
  NOTICE: 32,
  /** A listener has a connection to accept. */
  ACCEPT: 64,
} as const;

export interface ByteStream {
  readonly sendBuffer: SendBuffer;
  readonly receiveBuffer: ReceiveBuffer;
  /** WRITABLE follows when there is more room. */
  wantsRoom: boolean;
  readonly readableBytes: number;
  readonly writableBytes: number;
  readonly unacknowledgedBytes: number;
  /** The peer has finished and everything has been read. */
  readonly ended: boolean;
  /** The peer has finished; bytes may still be readable. */
  readonly isPeerFinished: boolean;
  /** Every subflow is gone, TIME-WAIT included. */
  readonly isReleased: boolean;
  /** Bytes written and not sent yet. */
  unsentBytes(): number;
  write(bytes: Uint8Array, offset: number, length: number, now: number): number;
  read(into: Uint8Array, offset: number, length: number, now: number): number;
  /** As `read`, and the bytes stay. */
  peek(into: Uint8Array, offset: number, length: number): number;
  shutdown(now: number): void;
  close(now: number): void;
  abort(now: number): void;
  transmit(out: Uint8Array, offset: number, now: number): number;
  nextDeadline(): number;
  expire(now: number): void;
  setNoDelay(on: boolean): void;
  /** Sets or takes back one of the bits of Hold (tcp/tcb). */
  setHold(bit: number, on: boolean): void;
  setKeepAlive(on: boolean, idleMs: number, now: number): void;
}

/** Who is told: the host's Connection. */
export interface StreamOwner {
  streamReady(bits: number): void;
  streamClosed(reason: CloseReason): void;
}
