// Decides what may be done with bytes that arrived without a mapping: whether they can be a second copy of
// others, and so, whether the stream may go on as TCP with them in it. RFC 8684 §3.3.1, §3.7.
// Before: receive stages them, subflow acknowledges. After: fallback, plain-words.

import type { Subflow } from './subflow.ts';

/**
 * True while the connection never had another subflow that could carry data, and all it sent here is
 * contiguous.
 */
export function isSingle(subflow: Subflow): boolean {
  const { everMultiple, subflows } = subflow.connection;
  return subflow.initial && !everMultiple && !subflow.hasRepeated && !subflows.some(s => s.mayCarry);
}

/**
 * ssn of the first byte that arrived without a mapping although the peer writes them; Infinity when there is
 * none. While the peer goes on as multipath it may send such bytes a second time, and nobody can tell which
 * are the copies: they must not become part of the stream.
 */
function firstUnplaceable({ staging, receiveMap, mappingSeen }: Subflow): number {
  if (staging === null || !mappingSeen) return Infinity;
  for (let i = 0; i < staging.ranges.count; i++) {
    for (let at = staging.ranges.start(i); at < staging.ranges.end(i); ) {
      const m = receiveMap.find(at);
      if (m < 0) return at;
      at = receiveMap.end(m);
    }
  }
  return Infinity;
}

export function hasUnplaceable(subflow: Subflow): boolean {
  return firstUnplaceable(subflow) !== Infinity;
}

/**
 * An acknowledgement leaves. From the first on that covers bytes without a mapping the peer may miss their
 * DATA_ACK, and send them again: what TCP has not acknowledged nobody sends again at connection level.
 */
export function acknowledging(subflow: Subflow, now: number): void {
  if (subflow.unplacedMs !== Infinity || firstUnplaceable(subflow) >= subflow.tcb.rcvNxt) return;
  subflow.unplacedMs = now;
  if (isSingle(subflow)) subflow.unmappedMs = now + UNMAPPED_WAIT_MS;
}

/**
 * True when the stream may go on as TCP although MPTCP has worked: nothing was ever sent elsewhere or twice,
 * by neither side, and no copy of the bytes without a mapping can have come yet.
 * DEVIATION (RFC 8684 §3.7: a subflow that breaks SHOULD be reset): with one subflow that would end the
 * connection.
 */
export function mayContinue(subflow: Subflow, now: number): boolean {
  if (!isSingle(subflow) || subflow.peerRepeated || subflow.mappingRefused) return false;
  return now - subflow.unplacedMs < EARLIEST_REPEAT_MS;
}

/** A new mapping was taken on the subflow. */
export function mappingTaken(subflow: Subflow): void {
  subflow.unmappedSegments = subflow.unmappedBytes = 0;
  subflow.plainWords = null;
  if (firstUnplaceable(subflow) >= subflow.tcb.rcvNxt) subflow.unplacedMs = subflow.unmappedMs = Infinity;
}

/** For so long in-order payload without a mapping is waited with. */
const UNMAPPED_WAIT_MS = 100;

/**
 * Nobody sends again at connection level so soon after sending for the first time: it is the smallest
 * retransmission timeout, Linux's and ours.
 */
export const EARLIEST_REPEAT_MS = 200;
