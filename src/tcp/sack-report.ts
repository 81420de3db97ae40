// Decides what a receiver reports beside the acknowledgement number: the blocks it holds beyond a hole, the
// newest first (RFC 2018 §4), and what came twice (RFC 2883 §4).
// Before: tcp/input notes what arrived. After: tcp/output puts the blocks on the next acknowledgement.

import { MAX_OPTIONS_BYTES, optionsLength, sackBlocksThatFit } from '../wire/index.ts';
import type { Tcb } from './tcb.ts';

export class SackReport {
  /** One ssn inside each of the blocks reported first lately, newest in front; never two in one block. */
  readonly recent: Float64Array = new Float64Array(MAX_BLOCKS);
  recentCount = 0;
  /** What came twice and is to be reported once; -1 for nothing. */
  duplicateStart = -1;
  duplicateEnd = -1;
}

/** Payload arrived beyond a hole and now is part of `tcb.beyond`: its block is reported first. */
export function noteBeyond(tcb: Tcb, ssn: number): void {
  const { recent } = tcb.sackReport;
  const block = tcb.beyond.firstEndingAfter(ssn);
  let kept = 0;
  // What has grown together with it is the same block now.
  for (let k = 0; k < tcb.sackReport.recentCount; k++) {
    if (tcb.beyond.firstEndingAfter(recent[k]) !== block) recent[kept++] = recent[k];
  }
  kept = Math.min(kept, MAX_BLOCKS - 1);
  recent.copyWithin(1, 0, kept);
  recent[0] = ssn;
  tcb.sackReport.recentCount = kept + 1;
}

/**
 * [start, end) arrived although it was there. Reported once; of several duplicates before one acknowledgement
 * the last, together with what it continues.
 */
export function noteDuplicate(tcb: Tcb, start: number, end: number): void {
  tcb.ackPending = true;
  if (end <= start || !tcb.sack) return;
  const report = tcb.sackReport;
  const touches =
    report.duplicateStart !== -1 && start <= report.duplicateEnd && end >= report.duplicateStart;
  report.duplicateStart = touches ? Math.min(start, report.duplicateStart) : start;
  report.duplicateEnd = touches ? Math.max(end, report.duplicateEnd) : end;
}

/** Nothing is to be reported any more. */
export function forgetReport(tcb: Tcb): void {
  tcb.sackReport.recentCount = 0;
  tcb.sackReport.duplicateStart = tcb.sackReport.duplicateEnd = -1;
}

/** Whether there is anything to report. */
export function hasReport(tcb: Tcb): boolean {
  return tcb.beyond.count > 0 || tcb.sackReport.duplicateStart !== -1;
}

/** Fills the blocks of an acknowledgement, as many as the other options leave room for. */
export function addSack(tcb: Tcb): void {
  if (!tcb.sack || !hasReport(tcb)) return;
  const { beyond, sackReport: report } = tcb;
  const segment = tcb.env.out;
  const most = sackBlocksThatFit(MAX_OPTIONS_BYTES - optionsLength(segment));
  segment.sackCount = 0;
  if (report.duplicateStart !== -1 && most > 0) {
    // RFC 2883 §4: "the first block of the SACK option should be a D-SACK block".
    const below = report.duplicateStart < tcb.rcvNxt;
    tcb.env.counters[below ? 'TCPDSACKOldSent' : 'TCPDSACKOfoSent']++;
    addBlock(tcb, report.duplicateStart, report.duplicateEnd);
  }
  // "Each duplicate contiguous sequence of data received is reported in at most one D-SACK block."
  report.duplicateStart = report.duplicateEnd = -1;
  // RFC 2018 §4: "filled out by repeating the most recently reported SACK blocks".
  let live = 0;
  for (let k = 0; k < report.recentCount; k++) {
    const i = beyond.firstEndingAfter(report.recent[k]);
    if (i >= beyond.count || beyond.start(i) > report.recent[k]) continue;
    if (segment.sackCount < most) addBlock(tcb, beyond.start(i), beyond.end(i));
    report.recent[live++] = report.recent[k];
  }
  report.recentCount = live;
  // "As many distinct SACK blocks as possible": of several in one batch only the last was noted as recent.
  for (let i = 0; i < beyond.count && segment.sackCount < most; i++) {
    if (!isRecent(tcb, i)) addBlock(tcb, beyond.start(i), beyond.end(i));
  }
}

/** What is recent lies in a block still; is it this one? */
function isRecent(tcb: Tcb, block: number): boolean {
  const { recent, recentCount } = tcb.sackReport;
  for (let k = 0; k < recentCount; k++) if (tcb.beyond.firstEndingAfter(recent[k]) === block) return true;
  return false;
}

function addBlock(tcb: Tcb, start: number, end: number): void {
  const segment = tcb.env.out;
  segment.sackLeft[segment.sackCount] = (tcb.irs + start) >>> 0;
  segment.sackRight[segment.sackCount] = (tcb.irs + end) >>> 0;
  segment.sackCount++;
}

const MAX_BLOCKS = 4;
