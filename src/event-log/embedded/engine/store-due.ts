// Stores batches in a group's own stream, to be delivered to that group when they are due.

import type { LedgerRow, StreamRow } from '../file/books.ts'
import type { NewEntry } from '../file/entry-table.ts'
import type { GroupSession } from './session.ts'
import type { UnitOfWork } from './unit-of-work.ts'

export interface Redelivery extends Pick<NewEntry, 'count' | 'receivedAtMicros' | 'dueAtMs' | 'originOffset'> {
  /** How many times its events were tried. */
  readonly attempt: number
  readonly isSuspect: boolean
}

/** @param group undefined while nothing of the group was asked for since the log was opened. */
export function storeDue(
  work: UnitOfWork,
  group: GroupSession | undefined,
  own: StreamRow,
  redelivery: Redelivery,
  bytes: Uint8Array,
): LedgerRow {
  const { attempt, isSuspect, ...fields } = redelivery
  const { dueAtMs, count } = fields
  const { firstOffset } = work.append(own, { ...fields, endedAttempts: isSuspect ? attempt - 1 : attempt }, bytes)
  work.books.due.save({ stream: own.stream, dueAtMs, firstOffset, eventCount: count, attempt })
  own.dueKept++
  const ledger = work.changeLedger(own.groupNumber, own.partition)
  ledger.waitingEvents += count
  ledger.waitingBytes += bytes.length
  group?.expectDue(own.stream, dueAtMs, firstOffset)
  return ledger
}
