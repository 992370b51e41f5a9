// The order of a group's redeliveries that have a key: only the first of a key in a stream may be due, the others are held.

import { dueAtOnce, never } from '../../event-log.ts'
import type { DueRow } from '../file/books.ts'
import type { GroupSession } from './session.ts'
import type { UnitOfWork } from './unit-of-work.ts'

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
  if (!isLeased) move(work, first, { dueAtMs: never })
  return false
}

/**
 * The entry before it has left the stream: what is now the first of the key is due at once. Returns its new row when it
 * was held.
 */
export function endHold(work: UnitOfWork, group: GroupSession, stream: number, eventKey: string): DueRow | undefined {
  if (eventKey === '') return undefined
  const first = firstOf(work, { stream, eventKey })
  if (first?.dueAtMs !== never) return undefined
  group.expectDue(stream, dueAtOnce, first.firstOffset)
  return move(work, first, { dueAtMs: dueAtOnce })
}

/** Makes the first entry of a key due at once, as after `attempt` attempts. Returns its offset; null when it is leased. */
export function release(
  work: UnitOfWork,
  group: GroupSession | undefined,
  place: Pick<KeyPlace, 'stream' | 'eventKey'>,
  attempt: number | null,
): number | null {
  const first = firstOf(work, place)
  if (first === undefined || group?.place(place.stream).leases.has(first.firstOffset) === true) return null
  move(work, first, { dueAtMs: dueAtOnce, attempt: attempt ?? first.attempt })
  return first.firstOffset
}

function firstOf(work: UnitOfWork, { stream, eventKey }: Pick<KeyPlace, 'stream' | 'eventKey'>): DueRow | undefined {
  const condition = `WHERE stream = ? AND event_key = ? AND event_key <> '' ORDER BY origin_offset, first_offset LIMIT 1`
  return work.books.due.select(condition, stream, eventKey)[0]
}

function move(work: UnitOfWork, row: DueRow, changes: Partial<Pick<DueRow, 'dueAtMs' | 'attempt'>>): DueRow {
  const moved = { ...row, ...changes }
  work.books.due.remove(row.stream, row.dueAtMs, row.firstOffset)
  work.books.due.save(moved)
  work.written()
  return moved
}
