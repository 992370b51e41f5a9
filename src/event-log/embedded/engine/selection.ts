// Decides which entries one call of `next` gets: per lane up to its events, all lanes together up to its bytes. Entries
// are not split, so the first entry of a lane may have more events, and the first one of the call more bytes.
//
// While shares are given, a partition gets no more than its share of both, except for one first entry.

import { type Lane, lanes } from '../../../event/event.ts'
import type { EntryPlace } from '../file/entry-table.ts'
import type { NextCall } from '../protocol.ts'
import type { DueEntries } from './due-entries.ts'
import type { FreeEntries } from './free-entries.ts'

/** Max bytes (except for the first entry) and entries that are read from the file for one call: commits wait meanwhile. */
const maxReadBytes = 2 * 1024 * 1024
const maxReadEntries = 1000

/** What a lane of a partition has for a group. */
export class LaneWork {
  due: DueEntries | null = null
  free: FreeEntries | null = null
  /** How many events of it the call has taken. */
  events = 0

  peek(): EntryPlace | undefined {
    return this.due?.peek()?.place ?? this.free?.peek()
  }

  get isDueNext(): boolean {
    return this.due?.peek() !== undefined
  }
}

export class PartitionWork {
  readonly partition: number
  readonly lanes: Partial<Record<Lane, LaneWork>> = {}
  bytes = 0
  readEntries = 0

  constructor(partition: number) {
    this.partition = partition
  }

  get hasWork(): boolean {
    return lanes.some((lane) => this.lanes[lane]?.peek() !== undefined)
  }
}

export class Selection {
  readonly #call: NextCall
  readonly #parts: readonly PartitionWork[]
  readonly #events: Record<Lane, number> = { high: 0, normal: 0, low: 0 }
  #bytes = 0
  #readBytes = 0
  #readEntries = 0
  #count = 0

  /** @param parts the partitions that have work, the one to serve first at the front. */
  constructor(call: NextCall, parts: readonly PartitionWork[]) {
    this.#call = call
    this.#parts = parts
  }

  /** Yields where to take the next entry; the caller takes it before it continues. */
  *picks(): Generator<{ readonly part: PartitionWork; readonly lane: Lane }> {
    for (const partitions of [this.#parts.length, 1]) {
      for (const lane of lanes) {
        for (const part of this.#parts) {
          const work = part.lanes[lane]
          if (work === undefined) continue
          for (let next = work.peek(); next !== undefined; next = work.peek()) {
            if (!this.#fits(part, lane, work, next, partitions)) break
            this.#add(part, lane, work, next)
            yield { part, lane }
          }
        }
      }
    }
  }

  #fits(part: PartitionWork, lane: Lane, work: LaneWork, next: EntryPlace, partitions: number): boolean {
    if (this.#count === 0) return true
    const { maxEvents, maxBytes } = this.#call
    const shareEvents = Math.ceil(maxEvents[lane] / partitions)
    const shareBytes = Math.ceil(Math.min(maxBytes, maxReadBytes) / partitions)
    const isShared = partitions > 1
    if (isShared && work.events > 0 && work.events + next.count > shareEvents) return false
    if (isShared && part.bytes > 0 && part.bytes + next.byteLength > shareBytes) return false
    if (this.#events[lane] > 0 && this.#events[lane] + next.count > maxEvents[lane]) return false
    if (this.#bytes + next.byteLength > maxBytes) return false
    if (!this.#isRead(work, next)) return true
    const hasReadShare = !isShared || part.readEntries < Math.ceil(maxReadEntries / partitions)
    return hasReadShare && this.#readEntries < maxReadEntries && this.#readBytes + next.byteLength <= maxReadBytes
  }

  #add(part: PartitionWork, lane: Lane, work: LaneWork, next: EntryPlace): void {
    this.#count++
    this.#events[lane] += next.count
    this.#bytes += next.byteLength
    if (this.#isRead(work, next)) {
      this.#readEntries++
      part.readEntries++
      this.#readBytes += next.byteLength
    }
    work.events += next.count
    part.bytes += next.byteLength
  }

  /** Whether its bytes are read from the file: the proxy does not have them. */
  #isRead(work: LaneWork, { appendNumber }: EntryPlace): boolean {
    return work.isDueNext || appendNumber < this.#call.cachedFrom
  }
}
