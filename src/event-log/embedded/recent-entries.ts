// The newest entries of all streams, kept in memory up to a bound in bytes, so that a consumer that keeps up never reads
// back from the file. The oldest go first; what every group has settled goes at once.

import { findEntry, type StoredEntry } from './stored-entry.ts'

/** How many bytes of recent entries a log keeps in memory unless told otherwise. */
export const defaultMaxRecentBytes = 64 * 1024 * 1024

/** The end of one stream: of its newest entries those that somebody may read soon, in their order. */
export class StreamTail {
  #entries: StoredEntry[] = []
  #head = 0
  /** How many of its places in the queue of RecentEntries stand for entries that are gone already. */
  goneBeforeTheirTurn = 0

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

  /** Forgets the oldest entry; the tail must not be empty. */
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
  /** One place for each entry, in the order in which they were stored. */
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
    while (this.#bytes > this.maxBytes) this.#forgetOldest()
  }

  /** Forgets what lies below the offset. */
  dropBelow(tail: StreamTail, offset: number): void {
    while (tail.first !== undefined && tail.first.endOffset <= offset) {
      tail.goneBeforeTheirTurn++
      this.#forgetFirstOf(tail)
    }
    this.#compact()
  }

  #forgetOldest(): void {
    const tail = this.#queue[this.#head]!
    this.#head++
    if (tail.goneBeforeTheirTurn > 0) tail.goneBeforeTheirTurn--
    else this.#forgetFirstOf(tail)
    this.#compact()
  }

  #forgetFirstOf(tail: StreamTail): void {
    const entry = tail.shift()
    entry.bytes = null
    this.#bytes -= entry.byteLength
    this.#count--
  }

  /** Keeps the queue at about the number of entries: one that stays for long would pin the places of all behind it. */
  #compact(): void {
    if (this.#queue.length < 1024 || this.#queue.length < this.#count * 2) return
    const kept: StreamTail[] = []
    for (let at = this.#head; at < this.#queue.length; at++) {
      const tail = this.#queue[at]!
      if (tail.goneBeforeTheirTurn > 0) tail.goneBeforeTheirTurn--
      else kept.push(tail)
    }
    this.#queue = kept
    this.#head = 0
  }
}
