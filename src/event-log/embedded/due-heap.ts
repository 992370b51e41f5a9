// The entries of a group's own stream, ordered by due time and offset in a binary heap. The heap is arrays of numbers,
// because a group in which every event fails can have a million entries.

export interface DueEntry {
  readonly dueAtMs: number
  readonly offset: number
  readonly count: number
}

export class DueHeap {
  readonly #dueAtMs: number[] = []
  readonly #offsets: number[] = []
  readonly #counts: number[] = []

  get size(): number {
    return this.#offsets.length
  }

  /** When the first entry is due, in milliseconds since 1970; undefined when the heap is empty. */
  get nextDueAtMs(): number | undefined {
    return this.#dueAtMs[0]
  }

  push({ dueAtMs, offset, count }: DueEntry): void {
    let at = this.#offsets.length
    this.#dueAtMs.push(dueAtMs)
    this.#offsets.push(offset)
    this.#counts.push(count)
    while (at > 0) {
      const parent = (at - 1) >> 1
      if (!this.#isBefore(at, parent)) return
      this.#swap(at, parent)
      at = parent
    }
  }

  /** Removes and returns the entry that is due first, the lower offset at equal times. The heap must not be empty. */
  pop(): DueEntry {
    const last = this.#offsets.length - 1
    this.#swap(0, last)
    const dueAtMs = this.#dueAtMs.pop()!
    const offset = this.#offsets.pop()!
    const count = this.#counts.pop()!
    this.#sink()
    return { dueAtMs, offset, count }
  }

  #sink(): void {
    const size = this.#offsets.length
    let at = 0
    for (;;) {
      const left = at * 2 + 1
      if (left >= size) return
      const right = left + 1
      const child = right < size && this.#isBefore(right, left) ? right : left
      if (!this.#isBefore(child, at)) return
      this.#swap(child, at)
      at = child
    }
  }

  #isBefore(a: number, b: number): boolean {
    const difference = this.#dueAtMs[a]! - this.#dueAtMs[b]!
    return difference < 0 || (difference === 0 && this.#offsets[a]! < this.#offsets[b]!)
  }

  #swap(a: number, b: number): void {
    for (const column of [this.#dueAtMs, this.#offsets, this.#counts]) {
      const value = column[a]!
      column[a] = column[b]!
      column[b] = value
    }
  }
}
