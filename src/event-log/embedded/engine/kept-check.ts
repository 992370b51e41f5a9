// Checks, when a place is first used, its rows in `settled_ahead`, `attempts` and `due`: a lost or moved row would deliver
// settled events again, or others never. How many rows there are is in the cursor, or in the stream.

import type { CursorRow, StreamRow } from '../file/books.ts'
import { LogDamage } from '../file/log-damage.ts'
import type { GroupSession, Place } from './session.ts'
import type { LogTables, UnitOfWork } from './unit-of-work.ts'

/** Up to so many rows are checked within a transaction, and so many in each piece otherwise. */
const maxRowsAtOnce = 2000

/** A check that is made in pieces; its group waits meanwhile. */
export interface KeptCheck {
  readonly group: GroupSession
  readonly place: Place
  /** Checks some rows; returns whether there are more. */
  step(): boolean
}

/** Checks a cursor. Returns the check when it has too many rows to be checked at once. */
export function checkCursor(work: UnitOfWork, group: GroupSession, cursor: CursorRow): KeptCheck | null {
  const { stream, rangesAhead, attemptsKept } = cursor
  return check(group, stream, rangesAhead + attemptsKept, verifyCursor(work.tables, { ...cursor }))
}

/** Checks what is due in one of the group's own streams. */
export function checkDue(work: UnitOfWork, group: GroupSession, own: number): KeptCheck | null {
  const { dueKept } = work.streams.get(own)!
  // Within the transaction its rows count, which are not written yet.
  const streams = dueKept > maxRowsAtOnce ? work.books.streams : work.streams
  return check(group, own, dueKept, verifyDue(work.tables, own, streams))
}

function check(group: GroupSession, stream: number, rows: number, pieces: Generator<void, void>): KeptCheck | null {
  const place = group.place(stream)
  if (place.isChecked) return null
  const step = () => {
    place.isChecked = pieces.next().done === true
    return !place.isChecked
  }
  if (rows > maxRowsAtOnce) return { group, place, step }
  while (step());
  return null
}

/** Nothing changes the rows meanwhile, because nothing is handed out before. */
function* verifyCursor({ books, path }: LogTables, cursor: CursorRow): Generator<void, void> {
  const { groupNumber, stream, rangesAhead, attemptsKept } = cursor
  for (const [what, table, kept] of [
    ['settled ranges', books.settledRanges, rangesAhead],
    ['attempts', books.attempts, attemptsKept],
  ] as const) {
    let found = 0
    for (let from = -1, hasMore = true; hasMore; ) {
      const condition = `WHERE group_number = ? AND stream = ? AND first_offset > ? ORDER BY first_offset LIMIT ${maxRowsAtOnce}`
      const rows = table.select(condition, groupNumber, stream, from)
      found += rows.length
      from = rows.at(-1)?.firstOffset ?? from
      hasMore = rows.length === maxRowsAtOnce
      if (hasMore) yield
    }
    // A group that was dropped meanwhile loses its rows step by step.
    if (books.cursors.get(groupNumber, stream) === undefined) return
    const place = `of group ${groupNumber} in stream ${stream}`
    if (found !== kept) throw new LogDamage(path, `${kept} ${what} ${place}`, String(found))
  }
}

/** Rows may be added meanwhile, so they are counted at the end. */
function* verifyDue(
  { books, path }: LogTables,
  own: number,
  streams: { get(stream: number): StreamRow | undefined },
): Generator<void, void> {
  for (let from = { dueAtMs: -1, firstOffset: -1 }, hasMore = true; hasMore; ) {
    const rows = books.due.select(
      `WHERE stream = ? AND (due_at_ms, first_offset) > (?, ?) ORDER BY due_at_ms, first_offset LIMIT ${maxRowsAtOnce}`,
      ...[own, from.dueAtMs, from.firstOffset],
    )
    from = rows.at(-1) ?? from
    hasMore = rows.length === maxRowsAtOnce
    if (hasMore) yield
  }
  const stream = streams.get(own)
  if (stream === undefined) return
  const found = books.due.count('stream = ?', own)
  if (found !== stream.dueKept)
    throw new LogDamage(path, `${stream.dueKept} due entries in stream ${own}`, String(found))
}
