// Where packets on their way wait: places of a few sizes, handed out by slot number and taken back, so a
// network with thousands of packets in flight allocates only until it has reached its peak.
// Before it: network.ts puts a packet here when it enters a path. After it: driver.ts gives the slot
// back once the host has read the packet.

/**
 * Places in size classes; a slot number names one until it is released. The places lie in a few large arrays,
 * since copying and summing are quick within arrays seen a moment ago.
 */
export class PacketPool {
  /** Bytes used, by slot. */
  length: Int32Array = new Int32Array(INITIAL_SLOTS);
  /** Where the packet begins in `bytes(slot)`, a multiple of 4. */
  offset: Int32Array = new Int32Array(INITIAL_SLOTS);
  /** A number its owner wants to find again, by slot. */
  tag: Int32Array = new Int32Array(INITIAL_SLOTS);

  private readonly slabs: Uint8Array[] = [];
  private readonly slabWords: Int32Array[] = [];
  private readonly slabOf: number[] = [];
  private readonly classOf: number[] = [];
  private readonly free: number[][] = SIZE_CLASSES.map(() => []);
  private slots = 0;
  private inUseCount = 0;

  /** Slots handed out and not yet given back. */
  get inUse(): number {
    return this.inUseCount;
  }

  /** A slot with room for at least `length` bytes (at most 65,536); its length is set. */
  take(length: number): number {
    let sizeClass = 0;
    while (SIZE_CLASSES[sizeClass].bytes < length) sizeClass++;
    if (this.free[sizeClass].length === 0) this.addSlab(sizeClass);
    const slot = this.free[sizeClass].pop() as number;
    this.length[slot] = length;
    this.inUseCount++;
    return slot;
  }

  /** The array the slot lies in. */
  bytes(slot: number): Uint8Array {
    return this.slabs[this.slabOf[slot]];
  }

  /** The same memory as 32-bit words. */
  words(slot: number): Int32Array {
    return this.slabWords[this.slabOf[slot]];
  }

  release(slot: number): void {
    this.inUseCount--;
    this.free[this.classOf[slot]].push(slot);
  }

  private addSlab(sizeClass: number): void {
    const { bytes, perSlab } = SIZE_CLASSES[sizeClass];
    const slab = new Uint8Array(bytes * perSlab);
    this.slabs.push(slab);
    this.slabWords.push(new Int32Array(slab.buffer));
    while (this.slots + perSlab > this.length.length) {
      this.length = enlarged(this.length);
      this.offset = enlarged(this.offset);
      this.tag = enlarged(this.tag);
    }
    for (let i = perSlab - 1; i >= 0; i--) {
      const slot = this.slots + i;
      this.offset[slot] = i * bytes;
      this.slabOf[slot] = this.slabs.length - 1;
      this.classOf[slot] = sizeClass;
      this.free[sizeClass].push(slot);
    }
    this.slots += perSlab;
  }
}

function enlarged(array: Int32Array): Int32Array {
  const larger = new Int32Array(array.length * 2);
  larger.set(array);
  return larger;
}

const INITIAL_SLOTS = 1024;
const SIZE_CLASSES: readonly { bytes: number; perSlab: number }[] = [
  { bytes: 128, perSlab: 512 },
  { bytes: 2048, perSlab: 256 },
  { bytes: 10_240, perSlab: 64 },
  { bytes: 65_536, perSlab: 8 },
];
