// The offsets of a stream that a group has settled out of order, as ranges that do not touch: what is settled side by
// side is one range, so their number stays near the number of entries in consumers' hands.
//
// Each range is a row of the table `settled_ahead`. `takeChanges` tells which rows must be written or removed.

/** From `start` (included) to `end` (excluded). */
export interface OffsetRange {
  readonly start: number
  readonly end: number
}

export interface RangeChanges {
  readonly saved: readonly OffsetRange[]
  /** The starts of ranges that are no more. */
  readonly removed: readonly number[]
}

export class SettledRanges {
  readonly #endOfStart = new Map<number, number>()
  readonly #startOfEnd = new Map<number, number>()
  readonly #changedStarts = new Set<number>()

  get size(): number {
    return this.#endOfStart.size
  }

  /** Where the range that begins here ends. */
  endOf(start: number): number | undefined {
    return this.#endOfStart.get(start)
  }

  /** Adds a range that overlaps none, and answers with the range it has become part of. */
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

  /** Removes a range that is there, because everything up to its end is settled now. */
  remove({ start, end }: OffsetRange): void {
    this.#remove(start, end)
  }

  /** The nearest range that begins behind the offset; slow, for the rare hole. */
  firstStartAfter(offset: number): number | undefined {
    let nearest: number | undefined
    for (const start of this.#endOfStart.keys()) {
      if (start > offset && (nearest === undefined || start < nearest)) nearest = start
    }
    return nearest
  }

  /** The nearest range that ends behind the offset; slow, for reading back what is settled. */
  firstEndingAfter(offset: number): OffsetRange | undefined {
    let nearest: OffsetRange | undefined
    for (const [start, end] of this.#endOfStart) {
      if (end > offset && (nearest === undefined || start < nearest.start)) nearest = { start, end }
    }
    return nearest
  }

  /** All of them, in no order. */
  all(): OffsetRange[] {
    return Array.from(this.#endOfStart, ([start, end]) => ({ start, end }))
  }

  /** What has changed since the last call. */
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
