// Walks a group's own stream: the entries that are due and not held, in the order of their due times. What is missing
// from the file is counted as lost on the way.

import type { DueRow } from '../file/books.ts'
import type { EntryPlace } from '../file/entry-table.ts'
import { partitionOf } from '../file/stream-number.ts'
import { endHold } from './key-queue.ts'
import type { GroupSession, Place } from './session.ts'
import type { UnitOfWork } from './unit-of-work.ts'

export interface DueEntry {
  /** Its number of events is what was counted as waiting, whatever a damaged entry says. */
  readonly row: DueRow
  readonly place: EntryPlace
}

export class DueEntries {
  readonly place: Place
  readonly stream: number
  readonly #work: UnitOfWork
  readonly #group: GroupSession
  readonly #nowMs: number
  readonly #rowsPerRead: number
  /** Everything before it, in the order of due times and offsets, is held or settled, or was taken from this walk. */
  #at: { readonly dueAtMs: number; readonly offset: number }
  #rows: DueRow[] = []
  /** The first offsets of what was taken from this walk: its leases have not begun. */
  readonly #taken = new Set<number>()
  #next: DueEntry | null = null
  #isAtEnd = false

  constructor(work: UnitOfWork, group: GroupSession, stream: number, nowMs: number, rowsPerRead: number) {
    this.#work = work
    this.#group = group
    this.stream = stream
    this.#nowMs = nowMs
    this.#rowsPerRead = rowsPerRead
    this.place = group.place(stream)
    this.#at = { dueAtMs: this.place.dueFromMs, offset: this.place.freeFrom }
  }

  get at(): { readonly dueAtMs: number; readonly offset: number } {
    return this.#at
  }

  peek(): DueEntry | undefined {
    while (this.#next === null && !this.#isAtEnd) {
      const row = this.#nextRow()
      if (row === undefined) this.#isAtEnd = true
      else if (this.place.leases.has(row.firstOffset) || this.#taken.has(row.firstOffset)) this.#pass(row)
      else this.#next = this.#find(row)
    }
    return this.#next ?? undefined
  }

  /** Hands out the entry that `peek` returned, and returns the number of this attempt. */
  take(): number {
    const { row } = this.peek()!
    row.attempt++
    this.#work.books.due.save(row)
    this.#work.written()
    this.#taken.add(row.firstOffset)
    this.#pass(row)
    return row.attempt
  }

  /** When the first entry behind the walk is due; undefined when there is none. */
  nextDueAtMs(): number | undefined {
    const left = this.peek()
    if (left !== undefined) return left.row.dueAtMs
    const condition = 'WHERE stream = ? AND due_at_ms > ? ORDER BY due_at_ms LIMIT 1'
    return this.#work.books.due.select(condition, this.stream, this.#nowMs)[0]?.dueAtMs
  }

  #nextRow(): DueRow | undefined {
    if (this.#rows.length === 0) {
      const { dueAtMs, offset } = this.#at
      // `+ 0`: see sql-file.ts.
      this.#rows = this.#work.books.due.select(
        'WHERE stream = ? AND (due_at_ms, first_offset) >= (?, ?) AND due_at_ms <= ? ORDER BY due_at_ms, first_offset LIMIT ? + 0',
        ...[this.stream, dueAtMs, offset, Math.floor(this.#nowMs), this.#rowsPerRead],
      )
    }
    return this.#rows[0]
  }

  #pass({ dueAtMs, firstOffset }: DueRow): void {
    this.#rows.shift()
    this.#next = null
    this.#at = { dueAtMs, offset: firstOffset + 1 }
  }

  /** Null when the entry is missing: it is then counted as lost. */
  #find(row: DueRow): DueEntry | null {
    const { firstOffset, eventCount } = row
    const range = { start: firstOffset, end: firstOffset + 1 }
    const [place] = this.#work.entries.list(this.stream, range, 1)
    if (place !== undefined) return { row, place }
    this.#work.entries.confirmHole(this.stream, range)
    this.#work.books.due.remove(this.stream, row.dueAtMs, firstOffset)
    this.#work.streams.change(this.#work.streams.get(this.stream)!).dueKept--
    const ledger = this.#work.changeLedger(this.#group.groupNumber, partitionOf(this.stream))
    const freed = endHold(this.#work, this.#group, this.stream, row.eventKey)
    ledger.lost += eventCount
    ledger.waitingEvents -= eventCount
    if (ledger.waitingEvents === 0) ledger.waitingBytes = 0
    this.#pass(row)
    if (freed !== undefined) this.#include(freed)
    return null
  }

  /** A row has been moved to where the walk may have been already. */
  #include({ dueAtMs, firstOffset }: DueRow): void {
    this.#rows = []
    const isBehind = dueAtMs < this.#at.dueAtMs || (dueAtMs === this.#at.dueAtMs && firstOffset < this.#at.offset)
    if (isBehind) this.#at = { dueAtMs, offset: firstOffset }
  }
}
