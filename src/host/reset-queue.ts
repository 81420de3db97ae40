// Decides the answer to segments that belong to no connection: a RST (RFC 9293 §3.10.7.1), with the reason
// for a refused MP_JOIN (RFC 8684 §3.2, §3.6), or the SYN/ACK that refuses it more gently; and takes back
// SYNs that are not wanted any more. Limited in rate; never an answer to a RST.

import { ResetReason } from '../mptcp/index.ts';
import { addressSegment, type Environment, type NetworkInterface, type Tcb } from '../tcp/index.ts';
import { encodeHeaders, Flag, Mp, RstFlag, type Segment, writeChecksum } from '../wire/index.ts';

const CAPACITY = 64;

/** What one queued reset needs to be written later; records are reused. */
class PendingReset {
  networkInterface: NetworkInterface | null = null;
  readonly remote: Int32Array = new Int32Array(4);
  localPort = 0;
  remotePort = 0;
  seq = 0;
  ack = 0;
  flags = 0;
  /** MP_TCPRST reason, -1 for none. */
  reason = -1;
}

export class ResetQueue {
  private readonly records: PendingReset[] = Array.from({ length: CAPACITY }, () => new PendingReset());
  private head = 0;
  private count = 0;
  private windowMs = -1e9;
  private sentInWindow = 0;
  private readonly env: Environment;
  private readonly perSecond: number;

  constructor(env: Environment, perSecond: number) {
    this.env = env;
    this.perSecond = perSecond;
  }

  /** Queues the reset that answers `segment`. */
  answer(segment: Segment, networkInterface: NetworkInterface, reason: number, now: number): void {
    if ((segment.flags & Flag.RST) !== 0) return;
    const record = this.next(now);
    if (record === null) return;
    addressRecord(record, segment, networkInterface);
    record.reason = reason;
    const hasAck = (segment.flags & Flag.ACK) !== 0;
    const syn = (segment.flags & Flag.SYN) !== 0 ? 1 : 0;
    const fin = (segment.flags & Flag.FIN) !== 0 ? 1 : 0;
    record.flags = hasAck ? Flag.RST : Flag.RST | Flag.ACK;
    record.seq = hasAck ? segment.ack : 0;
    record.ack = hasAck ? 0 : (segment.seq + segment.payloadLength + syn + fin) >>> 0;
  }

  /** Queues a SYN/ACK without options: whoever asked with MP_JOIN ends that subflow, and nothing else. */
  refuseOption(segment: Segment, networkInterface: NetworkInterface, now: number): void {
    const record = this.next(now);
    if (record === null) return;
    addressRecord(record, segment, networkInterface);
    record.flags = Flag.SYN | Flag.ACK;
    record.seq = this.env.random32();
    record.ack = (segment.seq + 1) >>> 0;
  }

  /** Queues the reset that takes back a SYN which nobody has answered yet. */
  withdraw(tcb: Tcb, now: number): void {
    const record = this.next(now);
    if (record === null) return;
    record.networkInterface = tcb.networkInterface;
    record.remote.set(tcb.remoteWords);
    record.localPort = tcb.localPort;
    record.remotePort = tcb.remotePort;
    record.reason = -1;
    record.flags = Flag.RST;
    record.seq = tcb.wireSeq(1);
    record.ack = 0;
  }

  /** A record to fill, within the limits. */
  private next(now: number): PendingReset | null {
    if (now - this.windowMs >= 1000) {
      this.windowMs = now;
      this.sentInWindow = 0;
    }
    if (this.sentInWindow >= this.perSecond || this.count === CAPACITY) {
      this.env.counters.RstRateLimited++;
      return null;
    }
    this.sentInWindow++;
    return this.records[(this.head + this.count++) % CAPACITY];
  }

  /** Writes the oldest queued reset; 0 when there is none. */
  transmit(out: Uint8Array, offset: number): number {
    while (this.count > 0) {
      const record = this.records[this.head];
      this.head = (this.head + 1) % CAPACITY;
      this.count--;
      const local = record.networkInterface;
      record.networkInterface = null;
      if (local?.up) return this.write(record, local, out, offset);
    }
    return 0;
  }

  private write(record: PendingReset, local: NetworkInterface, out: Uint8Array, offset: number): number {
    const segment = this.env.out;
    segment.reset();
    const { localPort, remotePort, remote } = record;
    addressSegment(segment, { networkInterface: local, localPort, remoteWords: remote, remotePort });
    segment.seq = record.seq;
    segment.ack = record.ack;
    segment.flags = record.flags;
    segment.window = 0;
    if (record.reason >= 0) {
      segment.mp = Mp.TCPRST;
      // RFC 8684 §3.6: a limit reached is transient; the peer may try again later.
      segment.rstFlags = record.reason === ResetReason.RESOURCES ? RstFlag.TRANSIENT : 0;
      segment.rstReason = record.reason;
      this.env.counters.MPRstTx++;
    }
    const length = encodeHeaders(segment, out, offset);
    if (!local.checksumOffload) writeChecksum(out, offset, length);
    if ((record.flags & Flag.RST) !== 0) this.env.counters.OutRsts++;
    this.env.counters.OutSegs++;
    this.env.shared.transmitInterface = local.id;
    this.env.shared.transmitSegmentSize = 65_535;
    return length;
  }
}

/** An answer to `segment` goes where it came from. */
function addressRecord(record: PendingReset, segment: Segment, networkInterface: NetworkInterface): void {
  record.networkInterface = networkInterface;
  record.remote[0] = segment.src0;
  record.remote[1] = segment.src1;
  record.remote[2] = segment.src2;
  record.remote[3] = segment.src3;
  record.localPort = segment.dstPort;
  record.remotePort = segment.srcPort;
  record.reason = -1;
}
