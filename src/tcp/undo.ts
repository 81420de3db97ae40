// Decides whether a retransmission was needed, and takes back what it cost when it was not: by the timestamp
// the peer echoes (Eifel, RFC 3522), by what it reports twice (DSACK, RFC 2883 §5, RFC 3708), and after a
// timeout by whether data sent once only is acknowledged (F-RTO, RFC 5682).
// Before: tcp/recovery begins an episode, tcp/output resends, tcp/ack asks. After: tcp/recovery goes on.

import { Recovery, type Tcb } from './tcb.ts';

/** Where F-RTO stands (RFC 5682 §3.1). */
export const Frto = {
  /** Not running, or the timeout was found to be genuine. */
  OFF: 0,
  /** Step 2: the first segment was sent again, and its acknowledgement is awaited. */
  RESENT: 1,
  /** Step 3: new data was sent instead of more repetitions; the next acknowledgement decides. */
  PROBING: 2,
} as const;

/** What one episode of recovery would need to be taken back. */
export class Undo {
  /** Sequence space of the episode: [startSsn, endSsn). Nothing can be undone while it is empty. */
  startSsn = 0;
  endSsn = 0;
  /** When something was sent again first; -1 while nothing was. */
  firstResentMs = -1;
  /** Bytes sent again whose duplicate the peer has not reported. */
  unreportedBytes = 0;
  frto: 0 | 1 | 2 = Frto.OFF;
}

/** What an acknowledgement says about the past; one record, refilled for each. */
export interface UndoAck {
  advanced: boolean;
  /** The timestamp it echoes, -1 for none. */
  tsEcr: number;
  /** It is for data sent before the episode and never again, reported for the first time. */
  originalDelivered: boolean;
  /** It repeats the acknowledgement number and nothing else. */
  duplicate: boolean;
  /** It reports a duplicate; and with it the last of what was sent again as duplicate. */
  duplicateReported: boolean;
  allDuplicate: boolean;
}

/** Recovery or loss begins. A timeout in the middle of repairs goes on with the episode there is. */
export function beginEpisode(tcb: Tcb): void {
  const undo = tcb.undo;
  undo.endSsn = tcb.sndNxt;
  if (tcb.recovery !== Recovery.OPEN) return;
  undo.startSsn = tcb.sndUna;
  undo.firstResentMs = -1;
  undo.unreportedBytes = 0;
}

/** Nothing of what was done so far is taken back any more. */
export function forgetUndo(tcb: Tcb): void {
  tcb.undo.startSsn = tcb.undo.endSsn = 0;
  tcb.undo.frto = Frto.OFF;
}

/** Bytes were sent again. */
export function noteResent(tcb: Tcb, length: number, now: number): void {
  if (tcb.recovery === Recovery.OPEN) return;
  const undo = tcb.undo;
  if (undo.firstResentMs === -1) undo.firstResentMs = now;
  undo.unreportedBytes += length;
}

/**
 * The peer reports [start, end) as a duplicate. True: everything sent again in this episode has been
 * (RFC 3708 §2: "all retransmitted segments … acknowledged by D-SACKs").
 */
export function noteDuplicateReport(tcb: Tcb, start: number, end: number): boolean {
  const undo = tcb.undo;
  if (undo.unreportedBytes === 0 || start < undo.startSsn || end > undo.endSsn) return false;
  undo.unreportedBytes = Math.max(0, undo.unreportedBytes - (end - start));
  return undo.unreportedBytes === 0;
}

/**
 * Ends recovery when it was for nothing. Returns the round-trip time in ms that the timestamp of a late
 * original gives, 0 for none. To be asked once a segment, before losses are looked for.
 */
export function undoIfSpurious(tcb: Tcb, ack: UndoAck, now: number): number {
  if (tcb.undo.endSsn === 0) return 0;
  const { counters } = tcb.env;
  if (ack.allDuplicate) {
    counters.TCPDSACKUndo++;
    // RFC 8985 §6.2, step 3, asks for an original acknowledged late; when all of them were sent again before
    // that, this says the same.
    tcb.reorderSeen = true;
    takeBack(tcb, now);
    return 0;
  }
  if (tcb.recovery === Recovery.OPEN) return 0;
  if (ack.advanced && echoesOriginal(tcb, ack.tsEcr)) {
    const lateMs = (tcb.timestamp(now) - ack.tsEcr) | 0;
    if (tcb.recovery === Recovery.LOSS) {
      counters.TCPLossUndo++;
    } else if (tcb.sndUna >= tcb.recoveryPoint) {
      counters.TCPFullUndo++;
    } else {
      // Late, not lost: what is behind it may be the same. As long as repetitions are out, they may not have
      // been for nothing.
      tcb.reorderSeen = true;
      if (tcb.sent.retransmittedOut > 0) return 0;
      counters.TCPPartialUndo++;
    }
    takeBack(tcb, now);
    // RFC 4015 §3: the timeout must know of the delay that made it fire. Not so when acknowledgements were
    // lost: a duplicate, or the last of several repetitions, only brought to light what had long arrived.
    return ack.duplicateReported || tcb.backoff > 1 ? 0 : lateMs;
  }
  if (tcb.recovery === Recovery.LOSS) forwardRecovery(tcb, ack, now);
  return 0;
}

/**
 * RFC 3522 §3.2, step 4: "If the value of the Timestamp Echo Reply field of the acceptable ACK … is smaller
 * than the value of RetransmitTS", the original has arrived.
 */
function echoesOriginal(tcb: Tcb, tsEcr: number): boolean {
  if (tsEcr === -1 || tcb.undo.firstResentMs === -1) return false;
  return ((tsEcr - tcb.timestamp(tcb.undo.firstResentMs)) | 0) < 0;
}

/** RFC 5682 §3.1 (with SACK) and §2.1 (without), steps 2 and 3. */
function forwardRecovery(tcb: Tcb, ack: UndoAck, now: number): void {
  const undo = tcb.undo;
  if (undo.frto === Frto.RESENT) {
    if (!ack.advanced) return;
    // Step 2a: everything is there, and nothing shows why. Step 2b: "transmit up to two new (previously
    // unsent) segments", as far as there are any (tcp/output).
    undo.frto = tcb.sndUna < tcb.recoveryPoint && tcb.extension.unsentBytes() > 0 ? Frto.PROBING : Frto.OFF;
    return;
  }
  if (undo.frto !== Frto.PROBING) return;
  const coversNew = tcb.sndUna > tcb.recoveryPoint || tcb.highestSacked > tcb.recoveryPoint;
  if (ack.originalDelivered && !coversNew) {
    // Step 3b: "the segment acknowledged with this ACK was transmitted before the timeout".
    tcb.env.counters.TCPSpuriousRTOs++;
    tcb.env.counters.TCPLossUndo++;
    takeBack(tcb, now);
  } else if (ack.advanced || ack.duplicate || coversNew) {
    // Step 3a: "set the congestion window to no more than 3 * MSS and proceed with the conventional RTO
    // recovery".
    undo.frto = Frto.OFF;
    tcb.congestion.cwndBytes = 3 * tcb.payloadMss;
  }
}

/** The window is what it was; what was taken for lost is in flight. */
function takeBack(tcb: Tcb, now: number): void {
  tcb.congestion.undo(now);
  tcb.sent.unmarkLost();
  tcb.recovery = Recovery.OPEN;
  tcb.ecn.cwrPending = false;
  forgetUndo(tcb);
}
