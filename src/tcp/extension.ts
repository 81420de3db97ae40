// Decides what a TCP connection asks of whoever owns its byte stream: plain TCP (tcp/plain-stream) or a
// Multipath TCP connection (mptcp/subflow). One slot, synchronous hooks, no conditionals about MPTCP inside
// tcp/. Fallback swaps the object in this slot. Offsets are subflow-relative (`ssn`, SYN = 0, first byte 1).

import type { Segment } from '../wire/index.ts';

/** Why a connection ended. `code` is errno-like; null is an orderly end. */
export interface CloseReason {
  readonly code: string | null;
  readonly text: string;
}

export interface Extension {
  /** Option bytes to expect on a data segment, for the payload that fits a packet. */
  readonly dataOptionBytes: number;
  /** Adds options to a SYN or SYN/ACK. */
  synOptions(segment: Segment, synAck: boolean, now: number): void;
  /** Adds options to a segment with payload [ssn, ssn + length). */
  dataOptions(segment: Segment, ssn: number, length: number, now: number): void;
  /** Adds options to a segment without payload. */
  ackOptions(segment: Segment, now: number): void;
  /** Adds options to a RST of a known connection. */
  resetOptions(segment: Segment): void;
  /**
   * A segment passed the checks of RFC 9293 and RFC 5961; `ack` is its unwrapped acknowledgement, `ssn` its
   * unwrapped sequence number. Called before its acknowledgement and payload are processed.
   * False: the subflow was ended by this call and the rest of the segment is to be dropped.
   */
  received(segment: Segment, ssn: number, ack: number, now: number): boolean;
  /** The ACK that would complete a passive handshake; false = ignore the segment, another will come. */
  admits(segment: Segment): boolean;
  /** A valid RST arrived. */
  resetReceived(segment: Segment, now: number): void;
  /** The handshake completed on this side. */
  established(now: number): void;
  /** Bytes the receiver could still take, counted from its next expected byte. */
  windowBytes(): number;
  /** The window field to send, never moving the right edge back; `scale` is the shift in force. */
  offerWindow(scale: number, minStepBytes: number): number;
  /** New payload; may lie beyond a hole, may repeat what is there already. */
  payload(ssn: number, bytes: Uint8Array, offset: number, length: number, now: number): void;
  /** The peer's FIN was reached in sequence. */
  finReceived(now: number): void;
  /** TIME-WAIT began: both directions are done. */
  timeWait(now: number): void;
  /** sndUna moved forward to `ssn`. */
  acknowledged(ssn: number, now: number): void;
  /** Bytes that could be sent as new data on this connection now (for Nagle and the persist timer). */
  unsentBytes(): number;
  /** Data waits that only the peer's connection-level window holds back (RFC 9293 §3.8.6.1). */
  windowBlocked(): boolean;
  /** Of [ssn, ssn + length), how many bytes may travel in one repeated segment. */
  contiguous(ssn: number, length: number): number;
  /** Copies payload that was assigned to [ssn, ssn + length) earlier. */
  copy(ssn: number, length: number, out: Uint8Array, offset: number): void;
  /** Bytes that may leave with a SYN (TCP Fast Open); `copy` from ssn 1 on gives them. */
  earlyBytes(): number;
  /** The answer to the SYN acknowledged so many of them; the others are to be sent as if they never were. */
  earlyAcknowledged(length: number, now: number): void;
  /** The stream begins with bytes of the SYN, and the connection is the application's from now on. */
  earlyPayload(bytes: Uint8Array, offset: number, length: number, now: number): void;
  /** The retransmission timer fired. */
  timedOut(now: number): void;
  /** The connection reached CLOSED (not called after `abort`, whose caller knows). */
  closed(reason: CloseReason, now: number): void;
}
