// Buffers for datagrams on their way out. The socket normally takes the bytes at once, so one buffer serves a
// whole burst; when the kernel would block, Node keeps the buffer until its callback, and another steps in.
//
// Decides: how many buffers a link may have held that way, and that no buffer is allocated a packet.
// Walk: link/udp writes into the current slot and sends it; Node's callback settles it.

/** A buffer for one datagram. */
export interface Slot {
  readonly bytes: Buffer;
  /** Sends from this slot whose callback has not come yet. */
  outstanding: number;
  /** Set while the kernel has not taken the bytes. */
  held: boolean;
  /** The callback for a send from this slot. */
  readonly settled: (error: Error | null) => void;
}

/** The slots of one link. */
export class SlotPool {
  readonly #slotBytes: number;
  readonly #limit: number;
  readonly #onSettled: (error: Error | null) => void;
  readonly #free: Slot[] = [];
  #made = 0;

  /** `onSettled` hears of every send that is over. */
  constructor(slotBytes: number, limit: number, onSettled: (error: Error | null) => void) {
    this.#slotBytes = slotBytes;
    this.#limit = limit;
    this.#onSettled = onSettled;
  }

  /** Slots the kernel has not let go of. */
  get heldSlots(): number {
    return this.#made - this.#free.length;
  }

  /** A slot to write into; undefined when all are held. */
  current(): Slot | undefined {
    if (this.#free.length === 0) {
      if (this.#made >= this.#limit) return undefined;
      this.#free.push(this.#make());
    }
    return this.#free[this.#free.length - 1];
  }

  /** The kernel has not taken the current slot's bytes yet: it comes back with its callback. */
  hold(slot: Slot): void {
    slot.held = true;
    this.#free.pop();
  }

  #make(): Slot {
    this.#made++;
    const slot: Slot = {
      bytes: Buffer.allocUnsafeSlow(this.#slotBytes),
      outstanding: 0,
      held: false,
      settled: error => {
        slot.outstanding--;
        // The callbacks of sends that were over at once come before that of the one that waits.
        if (slot.held && slot.outstanding === 0) {
          slot.held = false;
          this.#free.push(slot);
        }
        this.#onSettled(error);
      },
    };
    return slot;
  }
}
