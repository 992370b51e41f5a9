// Joins the batches of one call into entries of up to 1,000 events or 256 KiB, and stores them. The bytes of an entry are
// a part of the call's buffer, so batches are joined when they lie side by side there.
//
// A joined entry has the latest time of receipt: for each event it lies between its receipt and its acknowledgement.

import { hasTrace } from '../../../event/batch-trace.ts'
import { limits } from '../../../event/event.ts'
import type { StreamRow } from '../file/books.ts'
import type { NewEntry } from '../file/entry-table.ts'
import type { UnitOfWork } from './unit-of-work.ts'

interface PackedBatch {
  readonly start: number
  readonly length: number
  readonly count: number
  readonly receivedAtMicros: number
}

interface OpenEntry {
  readonly stream: StreamRow
  readonly start: number
  length: number
  count: number
  receivedAtMicros: number
  readonly isAlone: boolean
}

export interface JoinedEntry {
  readonly entry: NewEntry
  readonly start: number
  readonly length: number
}

export class EntryJoiner {
  readonly #work: UnitOfWork
  readonly #bytes: Uint8Array
  readonly #open = new Map<StreamRow, OpenEntry>()
  readonly #stored: JoinedEntry[] = []

  constructor(work: UnitOfWork, bytes: Uint8Array) {
    this.#work = work
    this.#bytes = bytes
  }

  /**
   * Adds a batch and returns its offset.
   * @param hasReply an outcome has one reply: then it is an entry of its own.
   */
  add(stream: StreamRow, { start, length, count, receivedAtMicros }: PackedBatch, hasReply = false): number {
    // An entry has one trace, for all of its events.
    const isAlone = hasReply || hasTrace(this.#bytes, start)
    const open = this.#open.get(stream)
    if (open !== undefined && !isAlone && !open.isAlone && canJoin(open, start, length, count)) {
      const offset = stream.nextOffset + open.count
      open.length += length
      open.count += count
      open.receivedAtMicros = Math.max(open.receivedAtMicros, receivedAtMicros)
      return offset
    }
    if (open !== undefined) this.#store(open)
    this.#open.set(stream, { stream, start, length, count, receivedAtMicros, isAlone })
    return stream.nextOffset
  }

  /** Stores what is left, and returns all stored entries. */
  finish(): readonly JoinedEntry[] {
    for (const open of this.#open.values()) this.#store(open)
    this.#open.clear()
    return this.#stored
  }

  #store({ stream, start, length, count, receivedAtMicros }: OpenEntry): void {
    const bytes = this.#bytes.subarray(start, start + length)
    this.#stored.push({ entry: this.#work.append(stream, { count, receivedAtMicros }, bytes), start, length })
  }
}

function canJoin(open: OpenEntry, start: number, length: number, count: number): boolean {
  return (
    open.start + open.length === start &&
    open.count + count <= limits.maxEntryEvents &&
    open.length + length <= limits.maxEntryBytes
  )
}
