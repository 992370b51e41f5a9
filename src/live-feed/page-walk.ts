// Walks over the events of a page of the log, with the place of each.
//
// The cursor of a page is behind all of it. A subscriber may stop at any event, so the walk knows how much of each stream is
// before it, of which the cursor of an event is made.

import { encodeTraceAttributes, hasOwnTrace, traceOfBatch } from '../event/batch-trace.ts'
import { lanes } from '../event/event.ts'
import { EventReader } from '../event/record-batch.ts'
import type { KeptEntry, StreamName } from '../event-log/event-log.ts'
import type { TailPage, TopicCursor } from '../event-log/tail.ts'
import { BufferedEvent, type EntryPlace } from './live-event.ts'

export class PageWalk {
  readonly reader = new EventReader()
  /** Whether the entry cannot be read: how many events are lost is not known. */
  isDamaged = false
  readonly #topic: string
  readonly #epoch: number
  readonly #entries: readonly KeptEntry[]
  readonly #from: TopicCursor
  readonly #upTo: TopicCursor | null
  /** What has been walked of each stream, without the current entry. */
  readonly #offsets: number[]
  #nextEntry = 0
  #entry: KeptEntry | null = null
  #stream = 0
  /** The offset of the event that comes next. */
  #nextOffset = 0
  /** That of the current entry, made when an event needs it. */
  #place: EntryPlace | null = null
  /** The trace of the current entry as attributes, for its events that name none; null when it has none. */
  #trace: Uint8Array | null = null

  /**
   * @param from where the events begin: behind the gap of the page, if it has one (`beginOf`).
   * @param upTo where they end in each stream; null: with the page.
   */
  constructor(topic: string, page: TailPage, from: TopicCursor, upTo: TopicCursor | null) {
    this.#topic = topic
    this.#epoch = page.cursor.epoch
    this.#entries = page.entries
    this.#from = from
    this.#upTo = upTo
    this.#offsets = [...from.offsets]
  }

  /** Moves to the next event, of which `reader` has the fields, or to a damaged entry; false at the end. */
  next(): boolean {
    for (;;) {
      if (this.#entry !== null && !this.isDamaged && this.reader.next()) {
        const offset = this.#nextOffset++
        if (this.#isWanted(offset)) return true
        continue
      }
      this.#leaveEntry()
      const entry = this.#entries[this.#nextEntry++]
      if (entry === undefined) return false
      this.#enter(entry)
      if (this.isDamaged && this.#isWanted(entry.position.offset + entry.batch.count - 1)) return true
    }
  }

  /** The current event, to be kept. `allocate`: as of BufferedEvent. */
  event(allocate?: (bytes: number) => Buffer): BufferedEvent {
    this.#place ??= {
      topic: this.#topic,
      epoch: this.#epoch,
      offsets: [...this.#offsets],
      stream: this.#stream,
      offsetsBefore: sumOf(this.#offsets),
    }
    const { bytes, fields } = this.reader
    return new BufferedEvent(
      bytes,
      fields,
      this.#entry!.batch.receivedAtMicros,
      this.#place,
      this.#nextOffset - 1,
      allocate,
      this.#trace === null || hasOwnTrace(bytes, fields) ? undefined : this.#trace,
    )
  }

  /** How many entries it has entered. */
  get entriesEntered(): number {
    return this.#nextEntry
  }

  /** Before the current entry, and at the end behind all. */
  get cursor(): TopicCursor {
    return { epoch: this.#epoch, offsets: [...this.#offsets] }
  }

  get cursorAfterEntry(): TopicCursor {
    const offsets = [...this.#offsets]
    if (this.#entry !== null) this.#moveBehind(this.#entry, offsets)
    return { epoch: this.#epoch, offsets }
  }

  #enter(entry: KeptEntry): void {
    const { position, batch } = entry
    this.#entry = entry
    this.#stream = streamIndex(position.stream)
    this.#nextOffset = position.offset
    this.#place = null
    this.isDamaged = batch.damaged === true
    if (this.isDamaged) return
    this.reader.reset(batch.bytes)
    const trace = traceOfBatch(batch.bytes)
    this.#trace = trace === undefined ? null : encodeTraceAttributes(trace)
  }

  #leaveEntry(): void {
    if (this.#entry !== null) this.#moveBehind(this.#entry, this.#offsets)
    this.#entry = null
  }

  #moveBehind({ position, batch }: KeptEntry, offsets: number[]): void {
    while (offsets.length <= this.#stream) offsets.push(0)
    const end = Math.min(position.offset + batch.count, this.#limit())
    offsets[this.#stream] = Math.max(offsets[this.#stream]!, end)
  }

  #isWanted(offset: number): boolean {
    return offset >= (this.#from.offsets[this.#stream] ?? 0) && offset < this.#limit()
  }

  #limit(): number {
    return this.#upTo === null ? Number.POSITIVE_INFINITY : (this.#upTo.offsets[this.#stream] ?? 0)
  }
}

/** Where the events of the page begin that was read from there: behind its gap. */
export function beginOf({ entries, cursor, gap }: TailPage, from: TopicCursor): TopicCursor {
  if (gap === null) return from
  const offsets = [...cursor.offsets]
  for (const { position } of entries.toReversed()) {
    const stream = streamIndex(position.stream)
    offsets[stream] = Math.max(position.offset, from.offsets[stream] ?? 0)
  }
  return { epoch: cursor.epoch, offsets }
}

/** How many offsets are before these. */
export function sumOf(offsets: readonly number[]): number {
  let sum = 0
  for (const offset of offsets) sum += offset
  return sum
}

function streamIndex({ partition, lane }: StreamName): number {
  return partition * lanes.length + lanes.indexOf(lane)
}
