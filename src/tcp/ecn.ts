// Decides what congestion that routers mark, instead of dropping, does to a connection: Explicit Congestion
// Notification, its negotiation and both its loops (RFC 3168 §6.1).
// Before: tcp/handshake, tcp/input and tcp/ack tell what arrived. After: tcp/output sets flags and codepoint.

import { Flag, type Segment } from '../wire/index.ts';
import { Recovery, type Tcb } from './tcb.ts';
import { forgetUndo } from './undo.ts';

/** The ECN field of the IP header (RFC 3168 §5). */
export const Codepoint = { NOT_ECT: 0, ECT_0: 2, CE: 3 } as const;

export class Ecn {
  /** Both sides have agreed to it: marks are echoed, echoes obeyed. */
  agreed = false;
  /** Our data may be marked. */
  capable = false;
  /** As a receiver: CE arrived, and the sender has not said yet that it knows. */
  echoing = false;
  /** As a sender: the window was reduced, and the next new data says so. */
  cwrPending = false;
  /** No second reduction before something beyond this ssn is acknowledged. */
  reducedSsn = 0;
}

/** The flags of our SYN or SYN/ACK that ask for ECN, or agree to it. */
export function ecnSynFlags(tcb: Tcb, synAck: boolean): number {
  // RFC 3168 §6.1.1: "When Host B sends an ECN-setup SYN-ACK packet, it sets the ECE flag but not the CWR
  // flag."
  if (synAck) return tcb.ecn.agreed ? Flag.ECE : 0;
  // §6.1.1.1: who receives no reply "MAY resend the SYN and any subsequent SYN retransmissions with CWR and
  // ECE cleared".
  return tcb.env.config.ecn === 'on' && tcb.synTransmissions === 0 ? Flag.ECE | Flag.CWR : 0;
}

/** A SYN or SYN/ACK of the peer arrived. */
export function negotiateEcn(tcb: Tcb, segment: Segment): void {
  const { ecn } = tcb;
  const bits = segment.flags & (Flag.ECE | Flag.CWR);
  if ((segment.flags & Flag.ACK) !== 0) {
    // §6.1.1.2: both bits are those of our own SYN, reflected.
    ecn.agreed = tcb.env.config.ecn === 'on' && bits === Flag.ECE;
    // §6.1.1: "MUST NOT set ECT on data packets unless it … has sent no non-ECN-setup SYN"; what the first
    // SYN committed to stands.
    ecn.capable = ecn.agreed && tcb.synTransmissions === 1;
    return;
  }
  // Like Linux: a SYN that is itself marked as ECN-capable means something else.
  const asks = bits === (Flag.ECE | Flag.CWR) && segment.ecn === Codepoint.NOT_ECT;
  ecn.agreed = ecn.capable = asks && tcb.env.config.ecn !== 'off';
}

/** Marks the segment being written: `fresh` for data that was never sent before. */
export function markOutgoing(tcb: Tcb, fresh: boolean): void {
  const { ecn } = tcb;
  if (!ecn.agreed) return;
  const segment = tcb.env.out;
  // §6.1.3: "in all the ACK packets it sends … until it receives a CWR packet".
  if (ecn.echoing) segment.flags |= Flag.ECE;
  // §6.1.4, §6.1.5: neither pure acknowledgements nor repeated data are ECN-capable.
  if (!fresh || !ecn.capable) return;
  segment.ecn = Codepoint.ECT_0;
  // §6.1.2: "only on the first new data packet that it transmits".
  if (ecn.cwrPending) segment.flags |= Flag.CWR;
  ecn.cwrPending = false;
}

/** Payload arrived inside the window (§6.1.3; outside of it the codepoint is ignored, §6.1.5). */
export function noteCodepoint(tcb: Tcb, segment: Segment): void {
  const { ecn } = tcb;
  if (!ecn.agreed) return;
  if ((segment.flags & Flag.CWR) !== 0) {
    ecn.echoing = false;
    // The sender's window may be very small now.
    tcb.ackPending = true;
  }
  if (segment.ecn !== Codepoint.CE) return;
  if (!ecn.echoing) tcb.ackPending = true;
  ecn.echoing = true;
}

/** An acknowledgement with ECN-Echo; `sndUna` has moved. True: it must not open the window. */
export function echoReceived(tcb: Tcb, deliveredBytes: number, now: number): boolean {
  if (!tcb.ecn.agreed) return false;
  tcb.env.counters.TCPDeliveredCE += Math.ceil(deliveredBytes / tcb.payloadMss);
  // §6.1.2: "should not react to congestion indications more than once every window of data", losses
  // included.
  if (tcb.recovery === Recovery.OPEN && tcb.sndUna > tcb.ecn.reducedSsn) {
    tcb.congestion.onEnterRecovery(tcb.sndNxt - tcb.sndUna + deliveredBytes, now);
    tcb.congestion.onExitRecovery(now);
    forgetUndo(tcb);
    windowReduced(tcb);
  }
  return true;
}

/**
 * The window was reduced "for any reason (because of a retransmit timeout, a Fast Retransmit, or in response
 * to an ECN Notification)" (§6.1.2).
 */
export function windowReduced(tcb: Tcb): void {
  if (!tcb.ecn.agreed) return;
  tcb.ecn.cwrPending = true;
  tcb.ecn.reducedSsn = tcb.sndNxt;
}
