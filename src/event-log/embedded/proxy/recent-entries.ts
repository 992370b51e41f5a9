// The newest entries, kept in memory up to a max number of bytes, so that a consumer that keeps up never waits for the
// file. Each is dropped when it was delivered to as many groups as are near the end of its stream; the oldest are dropped
// when there are too many bytes.

/** The default for the max bytes of recent entries that a log keeps in memory. */
export const defaultMaxRecentBytes = 64 * 1024 * 1024

interface RecentEntry {
  readonly bytes: Uint8Array
  /** How many groups may still take it. */
  takers: number
}

export class RecentEntries {
  readonly maxBytes: number
  /** By append number, oldest first. */
  readonly #entries = new Map<number, RecentEntry>()
  #bytes = 0
  #last: number

  /** @param last the last append number of an earlier opening. */
  constructor(maxBytes: number, last = 0) {
    this.maxBytes = maxBytes
    this.#last = last
  }

  get bytes(): number {
    return this.#bytes
  }

  /** No older entry is kept. */
  get from(): number {
    for (const appendNumber of this.#entries.keys()) return appendNumber
    return this.#last + 1
  }

  /** Entries must be added in the order of their append numbers. */
  add(appendNumber: number, bytes: Uint8Array, takers: number): void {
    this.#last = appendNumber
    if (takers === 0) return
    this.#entries.set(appendNumber, { bytes, takers })
    this.#bytes += bytes.length
    while (this.#bytes > this.maxBytes) this.#drop(this.from)
  }

  /** The bytes of an entry for one of the groups; undefined when they are not kept. */
  take(appendNumber: number): Uint8Array | undefined {
    const entry = this.#entries.get(appendNumber)
    if (entry === undefined) return undefined
    entry.takers--
    if (entry.takers === 0) this.#drop(appendNumber)
    return entry.bytes
  }

  #drop(appendNumber: number): void {
    this.#bytes -= this.#entries.get(appendNumber)!.bytes.length
    this.#entries.delete(appendNumber)
  }
}
