// Walks a stream of the topic for one group: the entries that are neither settled nor held, in order. What is missing
// from the file is settled as lost on the way.

import type { CursorRow, SettledRangeRow, StreamRow } from '../file/books.ts'
import type { EntryPlace, OffsetRange } from '../file/entry-table.ts'
import type { GroupSession, Place } from './session.ts'
import type { UnitOfWork } from './unit-of-work.ts'

/** How many settled ranges are read at once. */
const rangesPerRead = 64

export class FreeEntries {
  readonly place: Place
  readonly stream: StreamRow
  readonly cursor: CursorRow
  readonly #work: UnitOfWork
  readonly #group: GroupSession
  readonly #entriesPerRead: number
  /** At the beginning: a range that the walk loses is merged with those beside it, which it still has to pass. */
  readonly #hasRanges: boolean
  /** Everything between the place's `freeFrom` and here is settled or held, or was taken from this walk. */
  #at: number
  #entries: EntryPlace[] = []
  #ranges: SettledRangeRow[] = []
  /** All ranges that begin below are in `#ranges`. */
  #rangesBelow = 0

  constructor(work: UnitOfWork, group: GroupSession, stream: number, entriesPerRead: number) {
    this.#work = work
    this.#group = group
    this.#entriesPerRead = entriesPerRead
    this.place = group.place(stream)
    this.stream = work.streams.get(stream)!
    this.cursor = work.cursors.get(group.groupNumber, stream)!
    this.#hasRanges = this.cursor.rangesAhead > 0
    this.#at = Math.max(this.place.freeFrom, this.cursor.settledBelow)
    this.#leaveRange()
  }

  get at(): number {
    return this.#at
  }

  get isAtEnd(): boolean {
    return this.#at >= this.stream.nextOffset
  }

  /** The next free entry. */
  peek(): EntryPlace | undefined {
    while (!this.isAtEnd) {
      if (this.#skip()) continue
      const entry = this.#entryFrom(this.#at)
      if (entry?.firstOffset === this.#at) return entry
      this.#lose(entry)
    }
    return undefined
  }

  /** Passes over the entry that `peek` returned. */
  take(): void {
    const entry = this.peek()!
    this.#at = entry.firstOffset + entry.count
  }

  /** How many times the entry was handed out and not given back, and whether a row says so. */
  attemptsOf(firstOffset: number): { readonly attempts: number; readonly hasRow: boolean } {
    const { cursor } = this
    if (firstOffset >= cursor.handedOutBelow) return { attempts: 0, hasRow: false }
    const { groupNumber, stream, attemptsKept } = cursor
    const row = attemptsKept > 0 ? this.#work.books.attempts.get(groupNumber, stream, firstOffset) : undefined
    return { attempts: row?.attempt ?? 1, hasRow: row !== undefined }
  }

  /** Passes over a held entry or a settled range that begins here; returns whether there was one. */
  #skip(): boolean {
    const lease = this.place.leases.get(this.#at)
    const end = lease === undefined ? this.#rangeAt(this.#at)?.endOffset : lease.firstOffset + lease.count
    if (end === undefined) return false
    this.#at = end
    return true
  }

  #entryFrom(offset: number): EntryPlace | undefined {
    const { stream, nextOffset } = this.stream
    while ((this.#entries[0]?.firstOffset ?? offset) < offset) this.#entries.shift()
    const range = { start: offset, end: nextOffset }
    if (this.#entries.length === 0) this.#entries = this.#work.entries.list(stream, range, this.#entriesPerRead)
    const entry = this.#entries[0]
    if (entry !== undefined) this.#work.entries.checkPlace(stream, entry, range)
    return entry
  }

  #lose(next: EntryPlace | undefined): void {
    const { stream, nextOffset } = this.stream
    const ahead = this.#rangeFrom(this.#at)?.firstOffset ?? nextOffset
    const range = { start: this.#at, end: Math.min(next?.firstOffset ?? nextOffset, ahead) }
    this.#work.entries.confirmHole(stream, range, next?.appendNumber)
    loseRange(this.#work, this.cursor, this.stream.partition, range)
    this.#group.settledEvents += range.end - range.start
    this.#at = range.end
  }

  /** Moves on when the place lies in a range: those of an earlier hint may have been merged since. */
  #leaveRange(): void {
    const { groupNumber, stream } = this.cursor
    if (!this.#hasRanges) return
    const [range] = this.#work.books.settledRanges.select(
      'WHERE group_number = ? AND stream = ? AND first_offset <= ? ORDER BY first_offset DESC LIMIT 1',
      ...[groupNumber, stream, this.#at],
    )
    if (range !== undefined && range.endOffset > this.#at) this.#at = range.endOffset
  }

  #rangeAt(offset: number): SettledRangeRow | undefined {
    const range = this.#rangeFrom(offset)
    return range?.firstOffset === offset ? range : undefined
  }

  /** The first range that begins at an offset or later. */
  #rangeFrom(offset: number): SettledRangeRow | undefined {
    const { groupNumber, stream } = this.cursor
    if (!this.#hasRanges) return undefined
    while ((this.#ranges[0]?.firstOffset ?? offset) < offset) this.#ranges.shift()
    if (this.#ranges.length === 0 && this.#rangesBelow <= this.stream.nextOffset) {
      this.#ranges = this.#work.books.settledRanges.select(
        `WHERE group_number = ? AND stream = ? AND first_offset >= ? ORDER BY first_offset LIMIT ${rangesPerRead}`,
        ...[groupNumber, stream, offset],
      )
      const isLast = this.#ranges.length < rangesPerRead
      this.#rangesBelow = isLast ? Number.POSITIVE_INFINITY : this.#ranges.at(-1)!.firstOffset + 1
    }
    return this.#ranges[0]
  }
}

/** Settles a range of which the file has nothing, and counts it as lost. */
export function loseRange(work: UnitOfWork, cursor: CursorRow, partition: number, range: OffsetRange): void {
  const { groupNumber, stream } = cursor
  const events = range.end - range.start
  if (cursor.attemptsKept > 0) {
    const within = 'group_number = ? AND stream = ? AND first_offset >= ? AND first_offset < ?'
    cursor.attemptsKept -= work.books.attempts.removeWhere(within, groupNumber, stream, range.start, range.end)
  }
  work.settle(cursor, range)
  const ledger = work.changeLedger(groupNumber, partition)
  ledger.lost += events
  ledger.waitingEvents -= events
  if (ledger.waitingEvents === 0) ledger.waitingBytes = 0
}
