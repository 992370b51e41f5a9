// Checks, when a place is first used, that none of its rows in `settled_ahead`, `attempts` and `due` is missing: a lost
// row would deliver settled events again, or others never. How many rows there are is in the cursor, or in the stream.

import type { CursorRow } from '../file/books.ts'
import { LogDamage } from '../file/log-damage.ts'
import type { GroupSession, Place } from './session.ts'
import type { LogTables, UnitOfWork } from './unit-of-work.ts'

/** Up to so many rows are counted within a transaction, and so many in each piece otherwise. */
const maxRowsAtOnce = 100_000

const ofCursor = 'group_number = ? AND stream = ?'

/** Checks a cursor. When it has too many rows to be counted at once, returns the check to be made in pieces. */
export function checkCursor(work: UnitOfWork, group: GroupSession, cursor: CursorRow): CursorCheck | null {
  const place = group.place(cursor.stream)
  if (place.isChecked) return null
  if (cursor.rangesAhead + cursor.attemptsKept > maxRowsAtOnce) return new CursorCheck(work, group, cursor)
  const { books, path } = work
  const { groupNumber, stream, rangesAhead, attemptsKept } = cursor
  expect(path, cursor, 'settled ranges', rangesAhead, books.settledRanges.count(ofCursor, groupNumber, stream))
  expect(path, cursor, 'attempts', attemptsKept, books.attempts.count(ofCursor, groupNumber, stream))
  place.isChecked = true
  return null
}

export function checkDue({ books, streams, path }: UnitOfWork, place: Place, own: number): void {
  if (place.isChecked) return
  const { groupNumber, stream, dueKept } = streams.get(own)!
  expect(path, { groupNumber, stream }, 'due entries', dueKept, books.due.count('stream = ?', stream))
  place.isChecked = true
}

/** Counts the rows of a cursor that nothing changes meanwhile, because its entries are handed out only afterwards. */
export class CursorCheck {
  readonly #tables: LogTables
  readonly group: GroupSession
  readonly place: Place
  readonly #cursor: CursorRow
  #table: 'settledRanges' | 'attempts' = 'settledRanges'
  #counted = 0
  #from = -1

  constructor({ books, entries, path }: LogTables, group: GroupSession, cursor: CursorRow) {
    this.#tables = { books, entries, path }
    this.group = group
    this.place = group.place(cursor.stream)
    this.#cursor = { ...cursor }
  }

  /** Counts some rows; returns whether there may be more. */
  step(): boolean {
    const { books, path } = this.#tables
    const { groupNumber, stream, rangesAhead, attemptsKept } = this.#cursor
    const isRanges = this.#table === 'settledRanges'
    const { rows, last } = books[this.#table].countSome(ofCursor, 'first_offset', this.#from, maxRowsAtOnce, [
      groupNumber,
      stream,
    ])
    this.#counted += rows
    this.#from = last
    if (rows === maxRowsAtOnce) return true
    expect(
      path,
      this.#cursor,
      isRanges ? 'settled ranges' : 'attempts',
      isRanges ? rangesAhead : attemptsKept,
      this.#counted,
    )
    if (isRanges) {
      this.#table = 'attempts'
      this.#counted = 0
      this.#from = -1
      return true
    }
    this.place.isChecked = true
    return false
  }
}

function expect(
  path: string,
  { groupNumber, stream }: Pick<CursorRow, 'groupNumber' | 'stream'>,
  what: string,
  expected: number,
  found: number,
): void {
  if (expected === found) return
  throw new LogDamage(path, `${expected} ${what} of group ${groupNumber} in stream ${stream}`, String(found))
}
