// Buffers for datagrams on their way out. The socket normally takes the bytes at once, so one buffer serves a
// whole burst; when the kernel would block, Node keeps the buffer until its callback, and another steps in.
//
// Decides: how many buffers a link may have held that way, and that no buffer is allocated a packet.
// Walk: link/udp writes into the current slot and sends it; Node's callback gives it back if it was held.

/** The buffers of one link. */
export class SlotPool {
  readonly #slotBytes: number;
  readonly #limit: number;
  readonly #free: Buffer[] = [];
  #made = 0;

  constructor(slotBytes: number, limit: number) {
    this.#slotBytes = slotBytes;
    this.#limit = limit;
  }

  /** A buffer to write into, the same one until it is held; undefined when all are. */
  current(): Buffer | undefined {
    if (this.#free.length === 0) {
      if (this.#made >= this.#limit) return undefined;
      this.#made++;
      this.#free.push(Buffer.allocUnsafeSlow(this.#slotBytes));
    }
    return this.#free[this.#free.length - 1];
  }

  /** The kernel has not taken the current buffer's bytes: it is out of use until `release`. */
  hold(): void {
    this.#free.pop();
  }

  release(slot: Buffer): void {
    this.#free.push(slot);
  }
}

/**
 * The sends of one socket whose callbacks have not come. They come in the order of the sends: first those of
 * sends that were over at once, then those that wait, because a socket with a queue takes nothing past it.
 */
export class UnsettledSends {
  readonly #held: Buffer[] = [];
  #done = 0;

  /** A send that the kernel has taken, or refused, already. */
  addDone(): void {
    this.#done++;
  }

  addHeld(slot: Buffer): void {
    this.#held.push(slot);
  }

  /** One callback has come; the buffer that is free with it, if there is one. */
  settle(): Buffer | undefined {
    if (this.#done === 0) return this.#held.shift();
    this.#done--;
    return undefined;
  }
}
