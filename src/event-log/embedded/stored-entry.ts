// The main thread's representation of an entry: its place in a stream, and its bytes while they are in memory.

import type { RecordBatch } from '../../event/record-batch.ts'

/** The additional fields of an entry in a group's own stream. */
export interface Redelivery {
  /** How many times its events had been tried when it was stored. */
  readonly attempt: number
  /** The earliest time to hand it out, in milliseconds since 1970. */
  readonly dueAtMs: number
  /** The offset in the topic's stream of the entry in which its events were first stored. */
  readonly originOffset: number
}

/** Finds the entry that begins at this offset, among `entries` in offset order from index `head` on. */
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
  /** The number of bytes stored in its stream before it. */
  readonly startByte: number
  readonly again: Redelivery | null
  count = 0
  byteLength = 0
  receivedAtMicros = 0
  damaged = false
  /** Null until the entry is durable, and after its bytes were evicted from memory. */
  bytes: Uint8Array | null = null
  /** The parts of its bytes until it is durable; then null. */
  pieces: Uint8Array[] | null = null

  constructor(firstOffset: number, startByte: number, again: Redelivery | null) {
    this.firstOffset = firstOffset
    this.startByte = startByte
    this.again = again
  }

  get endOffset(): number {
    return this.firstOffset + this.count
  }

  /** Appends a batch to an entry that is not stored yet. */
  join(batch: RecordBatch): void {
    this.pieces ??= []
    this.pieces.push(batch.bytes)
    this.count += batch.count
    this.byteLength += batch.bytes.length
    // The latest time of receipt: for each event it lies between its receipt and its acknowledgement.
    this.receivedAtMicros = Math.max(this.receivedAtMicros, batch.receivedAtMicros)
  }

  /** A copy with its own bytes, which stay in memory when the bytes of the original are evicted. */
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
