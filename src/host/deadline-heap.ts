// Decides which connection's timer is due first: a binary heap that knows where each connection stands in it.

export interface HeapItem {
  /** Position in the heap, -1 when absent. */
  heapIndex: number;
  deadlineMs: number;
}

export class DeadlineHeap<T extends HeapItem> {
  private readonly items: T[] = [];

  /** The earliest deadline in ms; Infinity when there is none. */
  get earliestMs(): number {
    return this.items.length > 0 ? this.items[0].deadlineMs : Infinity;
  }

  first(): T | undefined {
    return this.items[0];
  }

  /** Sets the deadline of an item; Infinity takes it out. */
  set(item: T, deadlineMs: number): void {
    if (deadlineMs === Infinity) {
      this.remove(item);
      return;
    }
    if (item.heapIndex < 0) {
      item.deadlineMs = deadlineMs;
      item.heapIndex = this.items.length;
      this.items.push(item);
      this.up(item.heapIndex);
    } else if (deadlineMs !== item.deadlineMs) {
      const earlier = deadlineMs < item.deadlineMs;
      item.deadlineMs = deadlineMs;
      if (earlier) this.up(item.heapIndex);
      else this.down(item.heapIndex);
    }
  }

  remove(item: T): void {
    const i = item.heapIndex;
    if (i < 0) return;
    item.heapIndex = -1;
    const last = this.items.pop() as T;
    if (last === item) return;
    this.items[i] = last;
    last.heapIndex = i;
    this.up(i);
    this.down(last.heapIndex);
  }

  private up(start: number): void {
    let i = start;
    while (i > 0) {
      const parent = (i - 1) >> 1;
      if (this.items[parent].deadlineMs <= this.items[i].deadlineMs) return;
      this.swap(i, parent);
      i = parent;
    }
  }

  private down(start: number): void {
    let i = start;
    for (;;) {
      const left = 2 * i + 1;
      if (left >= this.items.length) return;
      const right = left + 1;
      const hasRight = right < this.items.length;
      const least = hasRight && this.items[right].deadlineMs < this.items[left].deadlineMs ? right : left;
      if (this.items[i].deadlineMs <= this.items[least].deadlineMs) return;
      this.swap(i, least);
      i = least;
    }
  }

  private swap(a: number, b: number): void {
    const item = this.items[a];
    this.items[a] = this.items[b];
    this.items[b] = item;
    this.items[a].heapIndex = a;
    this.items[b].heapIndex = b;
  }
}
