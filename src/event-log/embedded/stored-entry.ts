// A stored entry as the main thread knows it: its place in a stream, and its bytes while they are in memory.

import type { RecordBatch } from '../../event/record-batch.ts'

/** What an entry of a group's own stream has beyond the others. */
export interface ComesAgain {
  /** How often its events had been tried when it was stored. */
  readonly attempt: number
  /** Not to be handed out before this time, in milliseconds since 1970. */
  readonly dueAtMs: number
  /** The offset, in the topic's stream, of the entry that its events were first stored in. */
  readonly originOffset: number
}

/** The entry that begins at this offset, among entries in their order from `head` on. */
export function findEntry(entries: readonly StoredEntry[], head: number, offset: number): StoredEntry | undefined {
  let low = head
  let high = entries.length
  while (low < high) {
    const middle = (low + high) >>> 1
    if (entries[middle]!.firstOffset < offset) low = middle + 1
    else high = middle
  }
  const found = entries[low]
  return found?.firstOffset === offset ? found : undefined
}

export class StoredEntry {
  readonly firstOffset: number
  /** How many bytes were stored in its stream before it. */
  readonly startByte: number
  readonly again: ComesAgain | null
  count = 0
  byteLength = 0
  receivedAtMicros = 0
  damaged = false
  /** Null until they are durable, and again when they are only in the file. */
  bytes: Uint8Array | null = null
  /** What its bytes are put together from, until they are durable. */
  pieces: Uint8Array[] | null = null

  constructor(firstOffset: number, startByte: number, again: ComesAgain | null) {
    this.firstOffset = firstOffset
    this.startByte = startByte
    this.again = again
  }

  get endOffset(): number {
    return this.firstOffset + this.count
  }

  /** Puts a batch behind those that are in it. Only for an entry that is not stored yet. */
  join(batch: RecordBatch): void {
    this.pieces ??= []
    this.pieces.push(batch.bytes)
    this.count += batch.count
    this.byteLength += batch.bytes.length
    // The latest: for each event this lies between its receipt and its acknowledgement.
    this.receivedAtMicros = Math.max(this.receivedAtMicros, batch.receivedAtMicros)
  }

  /** The same entry, with bytes of its own: those of the first may be forgotten while somebody needs the second. */
  copy(bytes: Uint8Array): StoredEntry {
    const copy = new StoredEntry(this.firstOffset, this.startByte, this.again)
    copy.count = this.count
    copy.byteLength = this.byteLength
    copy.receivedAtMicros = this.receivedAtMicros
    copy.damaged = this.damaged
    copy.bytes = bytes
    return copy
  }

  /** The batch to hand out. Its bytes must be in memory. */
  batch(): RecordBatch {
    if (this.bytes === null) throw new Error('the bytes of the entry are not in memory')
    const batch = { bytes: this.bytes, count: this.count, receivedAtMicros: this.receivedAtMicros }
    return this.damaged ? { ...batch, damaged: true } : batch
  }
}
