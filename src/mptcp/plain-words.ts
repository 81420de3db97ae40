// Decides what is done where segments with MPTCP options vanish while others might pass: questions and
// answers without options. RFC 8684 §6 knows such middleboxes and leaves the remedy open.
//
// From the second retransmission timeout in a row on, what is retransmitted is followed by a copy of it
// without MPTCP option and timestamps: the question. No stack leaves timestamps out by accident (RFC 7323
// §3.2), which tells it from a segment that lost its options. It is answered with two acknowledgements, one
// of them in the same manner. Who hears such a copy twice in a row without its companion goes on as TCP: the
// side asked, when the question brings bytes that never came otherwise; the side that asks, by the answers.
// The other side follows at the first segment without options.
//
// Why no byte comes twice: only a connection whose stream is one contiguous run on its only subflow, seen
// from both sides, asks, answers or concludes; a join even begun ends that. A question that comes late brings
// nothing new, and is only answered. What a question brings is not taken before the conclusion, so TCP never
// acknowledges what the connection does not know, and nothing is assigned a second time.
//
// Before: tcp/timers through mptcp/subflow, options-in. After: send, fallback.

import { restartRetransmissionTimer, Timer, transmitAck, transmitHeadAgain } from '../tcp/index.ts';
import { Flag, type Segment } from '../wire/index.ts';
import { fallBack } from './fallback.ts';
import { Stage, type Subflow } from './subflow.ts';
import { hasUnplaceable, isSingle } from './unplaced.ts';

/** What has been said without options on a subflow, and what is to be said. */
export class PlainWords {
  questionDue = false;
  answerDue = false;
  /** The segment being written is a question or an answer. */
  speaking = false;
  /** Questions, and answers, that have left: the peer concludes from two. */
  questions = 0;
  answers = 0;
  /** A question has left since data was last acknowledged by a segment with options. */
  asked = false;
  /** When the first question, and the first answer, was heard after which nothing with options came. */
  questionMs: number = Infinity;
  answerMs: number = Infinity;
}

/** The retransmission timer fired. */
export function askPlainly(subflow: Subflow): void {
  const { tcb } = subflow;
  if (tcb.backoff < SILENT_TIMEOUTS || tcb.sndWnd === 0 || !tcb.isSynchronized || !isCandid(subflow)) return;
  const words = wordsOf(subflow);
  words.questionDue = words.asked = true;
}

/**
 * A SYN/ACK came again, long after our third ACK, which did not arrive. Its repetition, without options too,
 * lets a server whose path drops them go on as TCP (RFC 8684 §3.1).
 */
export function synAckRepeated(subflow: Subflow, now: number): void {
  const { client, confirmed } = subflow.connection;
  if (!client || confirmed || now - subflow.flightMs < THIRD_ACK_MS || !isCandid(subflow)) return;
  wordsOf(subflow).answerDue = true;
}

/** A third ACK without options has left: the server may be TCP, and has no way to say so. */
function hasSpokenForKeys({ connection, plainWords }: Subflow): boolean {
  return connection.client && !connection.confirmed && plainWords !== null && plainWords.answers > 0;
}

/** Writes the question that is due. Returns the packet's length or 0. */
export function transmitQuestion(subflow: Subflow, out: Uint8Array, offset: number, now: number): number {
  const { plainWords: words, tcb } = subflow;
  if (words === null || !words.questionDue) return 0;
  words.questionDue = false;
  words.questions++;
  words.speaking = true;
  const written = transmitHeadAgain(tcb, out, offset, now);
  words.speaking = false;
  if (tcb.backoff === SILENT_TIMEOUTS && words.questions === 1) {
    // DEVIATION (RFC 6298 §5.5 doubles each wait): it takes two to conclude, the second after one RTO.
    const againMs = now + tcb.rtt.rtoMs;
    tcb.deadlines[Timer.RETRANSMIT] = Math.min(tcb.deadlines[Timer.RETRANSMIT], againMs);
  } else if (tcb.backoff > SILENT_TIMEOUTS && words.questions === 2) {
    // That one was in between: the wait that it cut short begins anew.
    tcb.backoff = SILENT_TIMEOUTS;
    restartRetransmissionTimer(tcb, now);
  }
  return written;
}

/** Writes the answer that is due; its companion with options has left. Returns the packet's length or 0. */
export function transmitAnswer(subflow: Subflow, out: Uint8Array, offset: number, now: number): number {
  const { plainWords: words, tcb } = subflow;
  if (words === null || !words.answerDue) return 0;
  words.answerDue = false;
  words.answers++;
  words.speaking = true;
  tcb.ackPending = true;
  const written = transmitAck(tcb, out, offset, now);
  words.speaking = false;
  return written;
}

/** A segment without MPTCP option arrived. False: a question or an answer; nothing else is done with it. */
export function plainWordsHeard(subflow: Subflow, segment: Segment, ssn: number, now: number): boolean {
  const { tcb } = subflow;
  const length = segment.payloadLength + ((segment.flags & Flag.FIN) !== 0 ? 1 : 0);
  if (segment.hasTimestamps || !tcb.timestamps) {
    // The peer whom we asked, or answered, has concluded, and sends on as TCP. So has a server that had a
    // third ACK without options, whatever it sends: a DSS is in all that one with our keys sends.
    // (With data under way its acknowledgement without DATA_ACK says it: dataAckMissing.)
    const follows = length > 0 || (tcb.sndUna === tcb.sndNxt && hasSpokenForKeys(subflow));
    return !follows || !mayFollow(subflow) || conclude(subflow, 'peer', now);
  }
  if (subflow.stage === Stage.CLOSING) {
    // Over for this side: the peer may still need to hear that its end has come.
    if (length > 0) wordsOf(subflow).answerDue = true;
    return true;
  }
  if (!subflow.connection.confirmed) return true;
  return length === 0 ? answerHeard(subflow, now) : questionHeard(subflow, ssn, length, now);
}

function questionHeard(subflow: Subflow, ssn: number, length: number, now: number): boolean {
  const { tcb } = subflow;
  const words = wordsOf(subflow);
  if (isCandid(subflow)) words.answerDue = true;
  tcb.ackPending = true;
  if (ssn > tcb.rcvNxt || ssn + length <= tcb.rcvNxt) return false;
  words.questionMs = Math.min(words.questionMs, now);
  if (now - words.questionMs < LEAST_APART_MS) return false;
  return !isCandid(subflow) || conclude(subflow, 'local', now);
}

function answerHeard(subflow: Subflow, now: number): boolean {
  const words = subflow.plainWords;
  if (words === null || !words.asked) return true;
  words.answerMs = Math.min(words.answerMs, now);
  if (now - words.answerMs < LEAST_APART_MS || !isCandid(subflow)) return false;
  return conclude(subflow, 'local', now);
}

/** A segment with an MPTCP option arrived: options pass. */
export function optionsHeard(words: PlainWords): void {
  words.questionMs = words.answerMs = Infinity;
}

/**
 * The stream goes on as TCP; what waits for its own timeout would have been lost until now. False: the
 * connection ended instead.
 */
function conclude(subflow: Subflow, seenBy: 'local' | 'peer', now: number): boolean {
  const { tcb } = subflow;
  if (!fallBack(subflow, { cause: 'options-dropped', seenBy }, now)) return false;
  tcb.ackPending = true;
  tcb.backoff = 0;
  if (tcb.sndUna !== tcb.sndNxt) tcb.deadlines[Timer.RETRANSMIT] = now;
  return true;
}

/** Nothing on either side was ever assigned elsewhere, or twice, or could be by now: TCP may go on. */
export function isCandid(subflow: Subflow): boolean {
  if (!subflow.tcb.timestamps || subflow.stage !== Stage.ACTIVE || subflow.connection.env.config.asLinux)
    return false;
  return subflow.connection.nextSubflowId === 1 && isContinuous(subflow);
}

/**
 * So many questions or answers have left that the peer may have concluded. A join begun since then does not
 * matter: had the peer heard of it, it would not have.
 */
export function mayFollow(subflow: Subflow): boolean {
  return mayHaveConcluded(subflow) && isContinuous(subflow);
}

export function mayHaveConcluded({ plainWords: words, dataAckSeen }: Subflow): boolean {
  // A client to whom no option has come yet believes the first answer (RFC 8684 §3.7).
  const enough = dataAckSeen ? ENOUGH : 1;
  return words !== null && Math.max(words.questions, words.answers) >= enough;
}

function isContinuous(subflow: Subflow): boolean {
  return isSingle(subflow) && !subflow.peerRepeated && !hasUnplaceable(subflow);
}

function wordsOf(subflow: Subflow): PlainWords {
  subflow.plainWords ??= new PlainWords();
  return subflow.plainWords;
}

/** Questions, or answers, from which a side concludes. */
const ENOUGH = 2;

/** Timeouts in a row after which it is asked whether anything without options passes. */
const SILENT_TIMEOUTS = 2;

/** A SYN/ACK that left before our third ACK could arrive comes within this, with any round trip in use. */
const THIRD_ACK_MS = 500;

/** Questions are a retransmission timeout apart; what comes sooner is a copy made on the way. */
const LEAST_APART_MS = 100;
