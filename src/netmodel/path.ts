// Decides what a network does to one packet in one direction: when it leaves and arrives, or that it is lost.
// Have read: nothing; the words are those of any network emulator.
// Before: the simulator and the real-time relay offer packets.
// After: they deliver what is not lost, at the time told.
//
// The model is pure: a function of now, the packet's length, the random source and what was offered before.
// On its way a packet meets, in this order: the cut path, the MTU, the tail of the queue, the queue's
// management (marks, or drops), the transmitter (FIFO, at the rate), the wire (loss, corruption, delay,
// jitter, duplication, reordering). Loss comes after the queue, as on a radio link: a lost packet has used
// its share of the capacity.
//
// The queue is fluid: what waits is the time until the transmitter is free times the rate. A change of rate
// applies to the bytes waiting too, except that packets already offered keep the times they were told.

import type { RandomSource } from './random.ts';

export interface PathOptions {
  name?: string;
  /** Default: infinite. */
  rateBitsPerSecond?: number;
  /** One way, after transmission. Default 0. */
  delayMs?: number;
  /** Up to this much more delay, uniform; packets stay in order, as behind a link-layer retransmission. */
  jitterMs?: number;
  /** Most bytes waiting, the one in transmission included; an idle link takes any. Default: infinite. */
  queueBytes?: number;
  /**
   * Active queue management (RFC 7567; as RED does it, by the queue of the moment): a packet that finds
   * `minBytes` or more waiting is marked, one that is not capable of ECN dropped, with a probability that
   * rises from 0 to `maxProbability` (default 1) at `maxBytes`; above that all are. Equal sizes make a
   * threshold.
   */
  aqm?: { minBytes: number; maxBytes: number; maxProbability?: number };
  /** Lost on the wire for certain: places in the order in which packets reach it, the first being 0. */
  dropPackets?: readonly number[];
  /** Probability that a packet is lost on the wire, each on its own. */
  loss?: number;
  /** Gilbert–Elliott: a good state and a bad one with loss; a transition is drawn before each packet. */
  burstLoss?: { enterProbability: number; leaveProbability: number; lossInBad?: number };
  /** With this probability a packet is held for `extraMs` and may be overtaken. */
  reorder?: { probability: number; extraMs: number };
  /** Probability that a second copy arrives. */
  duplicate?: number;
  /** Probability that one bit is flipped. */
  corrupt?: number;
  /** Larger IP packets are dropped. Default: none are. */
  mtu?: number;
  /** Times the path is dead; what is offered, queued or on the wire then is lost. On the caller's clock. */
  outages?: readonly { fromMs: number; untilMs: number }[];
}

export type LossReason = 'none' | 'down' | 'mtu' | 'queue' | 'aqm' | 'listed' | 'loss' | 'burst';

/** What happens to the packet just offered. One object a model, overwritten by the next offer. */
export interface Verdict {
  readonly lost: boolean;
  readonly reason: LossReason;
  /** Its last bit has left the transmitter. Set when it is not lost. */
  readonly departsMs: number;
  readonly arrivesMs: number;
  /** Arrival of a second copy, -1 for none. */
  readonly duplicateMs: number;
  /** The bit to flip, counted from the packet's first; -1 for none. */
  readonly corruptBit: number;
  /** The queue's management marks it: whoever carries it sets Congestion Experienced (RFC 3168 §5). */
  readonly congestionMarked: boolean;
}

export class PathModel {
  readonly name: string;
  readonly mtu: number;
  /** What was offered here came to; plain numbers, never reset. */
  readonly counters = {
    offeredPackets: 0,
    offeredBytes: 0,
    passedPackets: 0,
    passedBytes: 0,
    lostDown: 0,
    lostMtu: 0,
    lostQueue: 0,
    lostAqm: 0,
    lostListed: 0,
    lostRandom: 0,
    lostBurst: 0,
    duplicated: 0,
    corrupted: 0,
    reordered: 0,
    marked: 0,
  };

  readonly #options: PathOptions;
  readonly #verdict = new MutableVerdict();
  readonly #queueBytes: number;
  readonly #outages: { fromMs: number; untilMs: number }[];
  readonly #drops: ReadonlySet<number>;
  #wirePackets = 0;
  #bytesPerMs: number;
  #delayMs: number;
  #up = true;
  #cuts = 0;
  #busyUntilMs = -Infinity;
  #lastDepartureMs = -Infinity;
  #lastArrivalMs = -Infinity;
  #inBurst = false;

  constructor(options: PathOptions) {
    check(options);
    this.#options = options;
    this.name = options.name ?? '';
    this.mtu = options.mtu ?? Infinity;
    this.#queueBytes = options.queueBytes ?? Infinity;
    this.#drops = new Set(options.dropPackets ?? []);
    this.#bytesPerMs = (options.rateBitsPerSecond ?? Infinity) / 8000;
    this.#delayMs = options.delayMs ?? 0;
    this.#outages = [...(options.outages ?? [])].sort((one, other) => one.fromMs - other.fromMs);
  }

  /**
   * `now` never goes back from one call to the next. `ecnCapable`: the packet may be marked instead of
   * dropped.
   */
  offer(now: number, packetLength: number, random: RandomSource, ecnCapable: boolean = false): Verdict {
    const counters = this.counters;
    counters.offeredPackets += 1;
    counters.offeredBytes += packetLength;
    if (!this.#up || this.#deadBetween(now, now)) return this.#lose('down');
    if (packetLength > this.mtu) return this.#lose('mtu');
    const waiting = this.queuedBytes(now);
    // Half a byte forgives the rounding of times.
    if (waiting > 0 && waiting + packetLength > this.#queueBytes + 0.5) return this.#lose('queue');
    const marked = this.#manages(waiting, random);
    if (marked && !ecnCapable) return this.#lose('aqm');
    this.#busyUntilMs = Math.max(now, this.#busyUntilMs) + packetLength / this.#bytesPerMs;
    this.#lastDepartureMs = Math.max(this.#busyUntilMs, this.#lastDepartureMs);
    return this.#cross(now, packetLength, random, marked);
  }

  /** Bytes waiting or in transmission at `now`. */
  queuedBytes(now: number): number {
    return this.#busyUntilMs > now ? (this.#busyUntilMs - now) * this.#bytesPerMs : 0;
  }

  get up(): boolean {
    return this.#up;
  }

  /** How often the path was taken down by `setUp`. A packet offered before a cut must not arrive after it:
   * whoever delivers compares this number then and now. (Outages from the options need no such care.) */
  get cuts(): number {
    return this.#cuts;
  }

  setUp(up: boolean): void {
    if (this.#up && !up) {
      this.#cuts += 1;
      this.#busyUntilMs = -Infinity;
      this.#lastDepartureMs = -Infinity;
      this.#lastArrivalMs = -Infinity;
    }
    this.#up = up;
  }

  setRate(rateBitsPerSecond: number, now: number): void {
    if (!(rateBitsPerSecond > 0)) throw new RangeError('rateBitsPerSecond must be above 0');
    const waiting = this.queuedBytes(now);
    this.#bytesPerMs = rateBitsPerSecond / 8000;
    this.#busyUntilMs = now + waiting / this.#bytesPerMs;
  }

  setDelay(delayMs: number): void {
    if (!(delayMs >= 0)) throw new RangeError('delayMs must not be negative');
    this.#delayMs = delayMs;
  }

  // Whether the management of the queue takes hold of a packet that finds so much waiting.
  #manages(waiting: number, random: RandomSource): boolean {
    const { aqm } = this.#options;
    if (aqm === undefined || waiting < aqm.minBytes) return false;
    if (waiting >= aqm.maxBytes) return true;
    const part = (waiting - aqm.minBytes) / (aqm.maxBytes - aqm.minBytes);
    return random.next() < part * (aqm.maxProbability ?? 1);
  }

  // From the transmitter to the far end.
  #cross(now: number, packetLength: number, random: RandomSource, marked: boolean): Verdict {
    const { loss = 0, jitterMs = 0, duplicate = 0, corrupt = 0, burstLoss, reorder } = this.#options;
    if (this.#drops.has(this.#wirePackets++)) return this.#lose('listed');
    if (burstLoss !== undefined) {
      const change = this.#inBurst ? burstLoss.leaveProbability : burstLoss.enterProbability;
      if (random.next() < change) this.#inBurst = !this.#inBurst;
      if (this.#inBurst && random.next() < (burstLoss.lossInBad ?? 1)) return this.#lose('burst');
    }
    if (loss > 0 && random.next() < loss) return this.#lose('loss');
    const counters = this.counters;
    const verdict = this.#verdict;
    let arrivesMs = this.#lastDepartureMs + this.#delayMs;
    if (jitterMs > 0) arrivesMs += random.next() * jitterMs;
    if (arrivesMs < this.#lastArrivalMs) arrivesMs = this.#lastArrivalMs;
    if (reorder !== undefined && random.next() < reorder.probability) {
      arrivesMs += reorder.extraMs;
      counters.reordered += 1;
    } else {
      this.#lastArrivalMs = arrivesMs;
    }
    if (this.#deadBetween(now, arrivesMs)) return this.#lose('down');
    verdict.lost = false;
    verdict.reason = 'none';
    verdict.departsMs = this.#lastDepartureMs;
    verdict.arrivesMs = arrivesMs;
    verdict.duplicateMs = -1;
    if (duplicate > 0 && random.next() < duplicate) {
      verdict.duplicateMs = arrivesMs + random.next() * Math.max(jitterMs, 1);
      counters.duplicated += 1;
    }
    verdict.corruptBit = -1;
    if (corrupt > 0 && random.next() < corrupt) {
      verdict.corruptBit = random.uint32() % (packetLength * 8);
      counters.corrupted += 1;
    }
    verdict.congestionMarked = marked;
    if (marked) counters.marked += 1;
    counters.passedPackets += 1;
    counters.passedBytes += packetLength;
    return verdict;
  }

  #deadBetween(fromMs: number, toMs: number): boolean {
    const outages = this.#outages;
    while (outages.length > 0 && outages[0].untilMs <= fromMs) outages.shift();
    return outages.length > 0 && outages[0].fromMs <= toMs;
  }

  #lose(reason: Exclude<LossReason, 'none'>): Verdict {
    this.counters[LOSS_COUNTER[reason]] += 1;
    this.#verdict.lost = true;
    this.#verdict.reason = reason;
    return this.#verdict;
  }
}

class MutableVerdict implements Verdict {
  lost = false;
  reason: LossReason = 'none';
  departsMs = 0.5;
  arrivesMs = 0.5;
  duplicateMs = -1;
  corruptBit = -1;
  congestionMarked = false;
}

const LOSS_COUNTER = {
  down: 'lostDown',
  mtu: 'lostMtu',
  queue: 'lostQueue',
  aqm: 'lostAqm',
  listed: 'lostListed',
  loss: 'lostRandom',
  burst: 'lostBurst',
} as const;

function check(options: PathOptions): void {
  const { burstLoss, reorder, aqm } = options;
  const probabilities: Record<string, number | undefined> = {
    loss: options.loss,
    duplicate: options.duplicate,
    corrupt: options.corrupt,
    'burstLoss.enterProbability': burstLoss?.enterProbability,
    'burstLoss.leaveProbability': burstLoss?.leaveProbability,
    'burstLoss.lossInBad': burstLoss?.lossInBad,
    'reorder.probability': reorder?.probability,
    'aqm.maxProbability': aqm?.maxProbability,
  };
  for (const [key, value] of Object.entries(probabilities)) {
    if (value !== undefined && !(value >= 0 && value <= 1)) throw new RangeError(`${key} must be 0 to 1`);
  }
  const amounts: Record<string, number | undefined> = {
    delayMs: options.delayMs,
    jitterMs: options.jitterMs,
    queueBytes: options.queueBytes,
    mtu: options.mtu,
    'reorder.extraMs': reorder?.extraMs,
    'aqm.minBytes': aqm?.minBytes,
  };
  for (const [key, value] of Object.entries(amounts)) {
    if (value !== undefined && !(value >= 0)) throw new RangeError(`${key} must not be negative`);
  }
  if (aqm !== undefined && !(aqm.maxBytes >= aqm.minBytes)) {
    throw new RangeError('aqm.maxBytes must not be below aqm.minBytes');
  }
  for (const place of options.dropPackets ?? []) {
    if (!(Number.isInteger(place) && place >= 0)) {
      throw new RangeError(`dropPackets must be whole numbers from 0, not ${place}`);
    }
  }
  if (!((options.rateBitsPerSecond ?? 1) > 0)) throw new RangeError('rateBitsPerSecond must be above 0');
}
