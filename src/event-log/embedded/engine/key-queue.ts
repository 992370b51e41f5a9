// The order of a group's redeliveries that have a key: only the first of a key in a stream may be due, the others are held.

import type { DueRow } from '../file/books.ts'
import type { GroupSession } from './session.ts'
import type { UnitOfWork } from './unit-of-work.ts'

/** When what is held is due: never. The latest time that JavaScript knows. */
export const heldDueAtMs = 8.64e15

type KeyPlace = Pick<DueRow, 'stream' | 'firstOffset' | 'eventKey' | 'originOffset'>

/**
 * Makes room for a new entry in the order of its key. Returns whether it is held: there is an earlier one.
 * @param group undefined while nothing of the group was asked for since the log was opened.
 */
export function hold(work: UnitOfWork, group: GroupSession | undefined, entry: KeyPlace): boolean {
  if (entry.eventKey === '') return false
  const first = firstOf(work, entry)
  if (first === undefined) return false
  if (first.originOffset <= entry.originOffset) return true
  const isLeased = group?.place(entry.stream).leases.has(first.firstOffset) === true
  if (!isLeased) move(work, first, heldDueAtMs)
  return false
}

/** The entry before it has left the stream: what is now the first of the key is due at once. */
export function endHold(work: UnitOfWork, group: GroupSession, stream: number, eventKey: string): void {
  if (eventKey === '') return
  const first = firstOf(work, { stream, eventKey })
  if (first?.dueAtMs !== heldDueAtMs) return
  move(work, first, 0)
  group.expectDue(stream, 0, first.firstOffset)
}

function firstOf(work: UnitOfWork, { stream, eventKey }: Pick<KeyPlace, 'stream' | 'eventKey'>): DueRow | undefined {
  const condition = `WHERE stream = ? AND event_key = ? AND event_key <> '' ORDER BY origin_offset, first_offset LIMIT 1`
  return work.books.due.select(condition, stream, eventKey)[0]
}

function move(work: UnitOfWork, row: DueRow, dueAtMs: number): void {
  work.books.due.remove(row.stream, row.dueAtMs, row.firstOffset)
  work.books.due.save({ ...row, dueAtMs })
  work.written()
}
