// The offsets of a stream that a group has settled out of order. Adjacent ranges are merged, so the number of ranges
// stays near the number of entries that consumers hold.
//
// Each range is a row of the table `settled_ahead`. `takeChanges` returns the rows to write and to remove.

/** From `start` (included) to `end` (excluded). */
export interface OffsetRange {
  readonly start: number
  readonly end: number
}

export interface RangeChanges {
  readonly saved: readonly OffsetRange[]
  /** The starts of ranges that no longer exist. */
  readonly removed: readonly number[]
}

export class SettledRanges {
  readonly #endOfStart = new Map<number, number>()
  readonly #startOfEnd = new Map<number, number>()
  readonly #changedStarts = new Set<number>()

  get size(): number {
    return this.#endOfStart.size
  }

  /** The end of the range that begins at `start`. */
  endOf(start: number): number | undefined {
    return this.#endOfStart.get(start)
  }

  /** Adds a range that overlaps no other, and returns the merged range that contains it. */
  add(start: number, end: number): OffsetRange {
    const before = this.#startOfEnd.get(start)
    if (before !== undefined) {
      this.#remove(before, start)
      start = before
    }
    const endAfter = this.#endOfStart.get(end)
    if (endAfter !== undefined) {
      this.#remove(end, endAfter)
      end = endAfter
    }
    this.#endOfStart.set(start, end)
    this.#startOfEnd.set(end, start)
    this.#changedStarts.add(start)
    return { start, end }
  }

  /** Removes an existing range, because everything below its end is now settled. */
  remove({ start, end }: OffsetRange): void {
    this.#remove(start, end)
  }

  /** The start of the first range that begins after the offset. Linear: used only for rare holes. */
  firstStartAfter(offset: number): number | undefined {
    let nearest: number | undefined
    for (const start of this.#endOfStart.keys()) {
      if (start > offset && (nearest === undefined || start < nearest)) nearest = start
    }
    return nearest
  }

  /** The first range that ends after the offset. Linear: used only to read settled entries. */
  firstEndingAfter(offset: number): OffsetRange | undefined {
    let nearest: OffsetRange | undefined
    for (const [start, end] of this.#endOfStart) {
      if (end > offset && (nearest === undefined || start < nearest.start)) nearest = { start, end }
    }
    return nearest
  }

  /** All ranges, in no particular order. */
  all(): OffsetRange[] {
    return Array.from(this.#endOfStart, ([start, end]) => ({ start, end }))
  }

  /** The changes since the last call. */
  takeChanges(): RangeChanges {
    const saved: OffsetRange[] = []
    const removed: number[] = []
    for (const start of this.#changedStarts) {
      const end = this.#endOfStart.get(start)
      if (end === undefined) removed.push(start)
      else saved.push({ start, end })
    }
    this.#changedStarts.clear()
    return { saved, removed }
  }

  #remove(start: number, end: number): void {
    this.#endOfStart.delete(start)
    this.#startOfEnd.delete(end)
    this.#changedStarts.add(start)
  }
}
