// The newest entries of all streams, kept in memory up to a max number of bytes, so that a consumer that keeps up never
// reads from the file. The oldest are evicted first; entries that every group has settled are removed at once.

import { findEntry, type StoredEntry } from './stored-entry.ts'

/** The default for the max bytes of recent entries that a log keeps in memory. */
export const defaultMaxRecentBytes = 64 * 1024 * 1024

/** The tail of one stream: its newest entries that a group may read soon, in order. */
export class StreamTail {
  #entries: StoredEntry[] = []
  #head = 0
  /** How many of its slots in the queue of RecentEntries belong to entries that were already removed. */
  staleSlots = 0

  get size(): number {
    return this.#entries.length - this.#head
  }

  /** The oldest entry in memory. */
  get first(): StoredEntry | undefined {
    return this.#entries[this.#head]
  }

  push(entry: StoredEntry): void {
    this.#entries.push(entry)
  }

  /** Removes the oldest entry; the tail must not be empty. */
  shift(): StoredEntry {
    const entry = this.#entries[this.#head]!
    this.#entries[this.#head] = undefined as never
    this.#head++
    if (this.#head > 64 && this.#head * 2 > this.#entries.length) {
      this.#entries = this.#entries.slice(this.#head)
      this.#head = 0
    }
    return entry
  }

  /** The entry that begins at this offset. */
  find(offset: number): StoredEntry | undefined {
    return findEntry(this.#entries, this.#head, offset)
  }
}

export class RecentEntries {
  readonly maxBytes: number
  #bytes = 0
  #count = 0
  /** One slot for each entry, in the order in which they were stored. */
  #queue: StreamTail[] = []
  #head = 0

  constructor(maxBytes: number) {
    this.maxBytes = maxBytes
  }

  get bytes(): number {
    return this.#bytes
  }

  add(tail: StreamTail, entry: StoredEntry): void {
    tail.push(entry)
    this.#queue.push(tail)
    this.#bytes += entry.byteLength
    this.#count++
    while (this.#bytes > this.maxBytes) this.#evictOldest()
  }

  /** Removes the entries below the offset. */
  dropBelow(tail: StreamTail, offset: number): void {
    while (tail.first !== undefined && tail.first.endOffset <= offset) {
      tail.staleSlots++
      this.#removeFirstOf(tail)
    }
    this.#compact()
  }

  #evictOldest(): void {
    const tail = this.#queue[this.#head]!
    this.#head++
    if (tail.staleSlots > 0) tail.staleSlots--
    else this.#removeFirstOf(tail)
    this.#compact()
  }

  #removeFirstOf(tail: StreamTail): void {
    const entry = tail.shift()
    entry.bytes = null
    this.#bytes -= entry.byteLength
    this.#count--
  }

  /** Removes stale slots, which would otherwise accumulate behind an entry that stays for long. */
  #compact(): void {
    if (this.#queue.length < 1024 || this.#queue.length < this.#count * 2) return
    const kept: StreamTail[] = []
    for (let at = this.#head; at < this.#queue.length; at++) {
      const tail = this.#queue[at]!
      if (tail.staleSlots > 0) tail.staleSlots--
      else kept.push(tail)
    }
    this.#queue = kept
    this.#head = 0
  }
}
