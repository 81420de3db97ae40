// Decides what is done about the paths of a connection that the Linux kernel runs: when a subflow is opened,
// and opened again; when one is so silent that it is taken away, so that the peer answers on another; when
// one is only to be used last. No I/O: what is seen and the time are told, what is to be done is asked for.
// Read: RFC 8684 §3.3.8 and §3.4.2; RFC 9293 §3.8.6.3 (how long an acknowledgement may wait).
// Walk: api/kernel-paths tells and asks; its twin for our own stack is mptcp/suspicion with mptcp/paths.

/** A path, by a name that stays. */
export interface SteeredPath {
  readonly key: string;
  /** Used only while no other path works. */
  readonly backup: boolean;
}

/** A subflow as it is seen at one moment. */
export interface SubflowSample {
  /** The path it belongs to. */
  readonly key: string;
  /** Tells it from others on the path, before and after. */
  readonly id: number;
  readonly established: boolean;
  readonly unackedSegments: number;
  /** Since an acknowledgement came. */
  readonly lastAckMs: number;
  readonly rttMs: number;
  readonly rttVarMs: number;
  /** Its retransmission timer has fired, and nothing has come since. */
  readonly lost: boolean;
}

/** What is to be done. */
export type SteeringAction =
  | { readonly type: 'open'; readonly key: string; readonly backup: boolean }
  | { readonly type: 'takeAway'; readonly key: string; readonly why: 'silent' | 'no link' }
  | { readonly type: 'setBackup'; readonly key: string; readonly backup: boolean };

interface PathState {
  readonly key: string;
  /** As the application wants it. */
  backup: boolean;
  /** As the kernel was told. */
  told: boolean;
  usable: boolean;
  phase: 'absent' | 'opening' | 'open';
  /** When it is opened, or opened again. */
  nextOpenMs: number;
  failures: number;
  /** The connection was too young for another subflow: the next look is soon enough. */
  postponed: boolean;
  openSinceMs: number;
  /** When what is in flight began to be. */
  flightMs: number;
  sample: SubflowSample | undefined;
  /** The subflow that was taken away last: the kernel may list it for a while. */
  takenId: number;
}

/** One connection. */
export class Steering {
  readonly #paths: Map<string, PathState> = new Map();
  readonly #interactive: boolean;
  readonly #actions: SteeringAction[] = [];
  #sampleMs: number = Infinity;
  /** When data was first written after the last look, and when that was. */
  #wroteMs: number = Infinity;
  #lookedMs: number = -Infinity;

  /** `interactive`: a path much slower than the fastest, or losing, is used last. */
  constructor({ interactive }: { readonly interactive: boolean }) {
    this.#interactive = interactive;
  }

  /** One more path; `open`: it has its subflow already. */
  addPath({ key, backup }: SteeredPath, now: number, open = false): void {
    this.#paths.set(key, {
      ...{ key, backup, told: open ? false : backup, usable: true, phase: open ? 'open' : 'absent' },
      ...{ nextOpenMs: open ? Infinity : now, failures: 0, openSinceMs: now, flightMs: Infinity },
      ...{ postponed: false, sample: undefined, takenId: -1 },
    });
    if (open && backup) this.setBackup(key, true);
  }

  /** Forgets a path; whoever forgets it has its subflow closed. */
  removePath(key: string): void {
    this.#paths.delete(key);
  }

  setBackup(key: string, backup: boolean): void {
    const path = this.#paths.get(key);
    if (path === undefined) return;
    path.backup = backup;
    this.#tell(path, backup);
  }

  /** Data was written: from now on an answer is waited for. */
  wrote(now: number): void {
    this.#wroteMs = Math.min(this.#wroteMs, now);
    if (this.#sampleMs === Infinity) this.#sampleMs = now + SAMPLE_MS;
  }

  /** Which of the paths have an address and a link. */
  links(usable: ReadonlySet<string>, now: number): void {
    for (const path of this.#paths.values()) {
      const was = path.usable;
      path.usable = usable.has(path.key);
      if (!was && path.usable) {
        path.failures = 0;
        if (path.phase !== 'open') path.nextOpenMs = now;
      } else if (was && !path.usable) {
        if (path.phase === 'open' && this.#hasAlternative(path, now)) this.#takeAway(path, 'no link', now);
        path.nextOpenMs = Infinity;
      }
    }
  }

  /** What is there now; `outstanding`: the connection has data that is not acknowledged. */
  sample(samples: readonly SubflowSample[], outstanding: boolean, now: number): void {
    for (const path of this.#paths.values()) {
      const here = samples.filter(({ key, id, established }) => {
        return established && key === path.key && id !== path.takenId;
      });
      this.#see(path, here.at(-1), now);
    }
    for (const path of this.#paths.values()) {
      if (path.phase !== 'open') continue;
      if (!path.usable && this.#hasAlternative(path, now)) this.#takeAway(path, 'no link', now);
      else if (this.#isSilent(path, now) && this.#hasAlternative(path, now))
        this.#takeAway(path, 'silent', now);
    }
    if (this.#interactive) this.#preferFast();
    const busy = outstanding || samples.some(each => each.unackedSegments > 0);
    this.#sampleMs = busy ? now + SAMPLE_MS : Infinity;
    this.#wroteMs = Infinity;
    this.#lookedMs = now;
  }

  /** Opens what is due. */
  expire(now: number): void {
    for (const path of this.#paths.values()) {
      if (path.nextOpenMs > now || !path.usable) continue;
      path.phase = 'opening';
      path.told = path.backup;
      // The SYN is repeated meanwhile; with each failure it is given twice as long.
      path.nextOpenMs = now + Math.min(OPEN_AGAIN_MS * 2 ** path.failures, OPEN_AGAIN_MOST_MS);
      path.failures++;
      this.#actions.push({ type: 'open', key: path.key, backup: path.backup });
    }
  }

  /** What was to be opened cannot be before the peer has been heard a second time. */
  postpone(key: string): void {
    const path = this.#paths.get(key);
    if (path === undefined) return;
    path.postponed = true;
    path.failures = 0;
    path.nextOpenMs = Infinity;
  }

  /** When to look, or to expire, at the latest. */
  nextDeadline(): number {
    let earliest = this.#sampleMs;
    for (const path of this.#paths.values()) {
      if (path.usable) earliest = Math.min(earliest, path.nextOpenMs);
    }
    return earliest;
  }

  /** Whether the subflows are due to be looked at. */
  isSampleDue(now: number): boolean {
    return this.#sampleMs <= now;
  }

  nextAction(): SteeringAction | undefined {
    return this.#actions.shift();
  }

  #see(path: PathState, sample: SubflowSample | undefined, now: number): void {
    path.sample = sample;
    if (sample === undefined) {
      path.flightMs = Infinity;
      if (path.postponed) path.nextOpenMs = now;
      path.postponed = false;
      if (path.phase !== 'open') return;
      // Somebody else has ended it.
      this.#closed(path, now);
      return;
    }
    if (path.phase !== 'open') {
      path.phase = 'open';
      path.openSinceMs = now;
      path.nextOpenMs = Infinity;
    }
    if (sample.unackedSegments === 0) path.flightMs = Infinity;
    else if (path.flightMs === Infinity)
      path.flightMs = Math.max(this.#lookedMs, Math.min(this.#wroteMs, now));
  }

  /** RFC 9293 §3.8.6.3 lets an acknowledgement wait; Linux lets it wait for 40 ms. */
  #isSilent({ sample, flightMs }: PathState, now: number): boolean {
    if (sample === undefined || sample.unackedSegments === 0) return false;
    const since = Math.max(flightMs, now - sample.lastAckMs);
    return now - since > sample.rttMs + Math.max(4 * sample.rttVarMs, sample.rttMs / 2) + SLACK_MS;
  }

  #hasAlternative(path: PathState, now: number): boolean {
    for (const other of this.#paths.values()) {
      const works = other !== path && other.phase === 'open' && other.usable && other.sample !== undefined;
      if (works && !this.#isSilent(other, now)) return true;
    }
    return false;
  }

  #takeAway(path: PathState, why: 'silent' | 'no link', now: number): void {
    this.#closed(path, now);
    path.takenId = path.sample?.id ?? -1;
    path.sample = undefined;
    this.#actions.push({ type: 'takeAway', key: path.key, why });
  }

  #closed(path: PathState, now: number): void {
    path.phase = 'absent';
    path.flightMs = Infinity;
    if (now - path.openSinceMs >= STEADY_MS) path.failures = 0;
    const delayMs = Math.min(OPEN_AGAIN_MS * 2 ** path.failures, OPEN_AGAIN_MOST_MS);
    path.nextOpenMs = path.usable ? now + delayMs : Infinity;
    path.failures++;
  }

  /** Marks what is slow or loses as backup, and takes the mark away when it is neither any more. */
  #preferFast(): void {
    const open = [...this.#paths.values()].filter(path => path.sample !== undefined && !path.backup);
    const measured = open.flatMap(({ sample }) =>
      sample !== undefined && sample.rttMs > 0 ? [sample.rttMs] : [],
    );
    const best = Math.min(...measured);
    for (const path of open) {
      const { rttMs = 0, lost = false } = path.sample ?? {};
      const limit = (path.told ? 1.5 : 2) * best + SLOWER_MS;
      const last = rttMs > limit || lost;
      const others = open.some(other => other !== path && !other.told);
      if (last !== path.told && (!last || others)) this.#tell(path, last);
    }
  }

  #tell(path: PathState, backup: boolean): void {
    if (path.told === backup || path.phase !== 'open') return;
    path.told = backup;
    this.#actions.push({ type: 'setBackup', key: path.key, backup });
  }
}

/** How often is looked while data is not acknowledged. */
const SAMPLE_MS = 10;
/** What an acknowledgement may take beside the round trip. */
const SLACK_MS = 50;
/** The first pause before a lost subflow is opened again, and the longest. */
const OPEN_AGAIN_MS = 1000;
const OPEN_AGAIN_MOST_MS = 30_000;
/** What was open for so long is opened again as if it had never failed. */
const STEADY_MS = 5000;
/** So much slower than twice the fastest, a path is used last for interactive traffic. */
const SLOWER_MS = 20;
