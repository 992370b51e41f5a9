// Stores batches in a group's own stream, to be delivered to that group when they are due.

import type { LedgerRow, StreamRow } from '../file/books.ts'
import type { NewEntry } from '../file/entry-table.ts'
import { heldDueAtMs, hold } from './key-queue.ts'
import type { GroupSession } from './session.ts'
import type { UnitOfWork } from './unit-of-work.ts'

export interface Redelivery extends Pick<NewEntry, 'count' | 'receivedAtMicros' | 'dueAtMs' | 'originOffset'> {
  /** How many times its events were tried. */
  readonly attempt: number
  readonly isSuspect: boolean
  /** '' for none. */
  readonly eventKey: string
}

/** @param group undefined while nothing of the group was asked for since the log was opened. */
export function storeDue(
  work: UnitOfWork,
  group: GroupSession | undefined,
  own: StreamRow,
  redelivery: Redelivery,
  bytes: Uint8Array,
): LedgerRow {
  const { attempt, isSuspect, eventKey, ...fields } = redelivery
  const { count, originOffset } = fields
  const { firstOffset } = work.append(own, { ...fields, endedAttempts: isSuspect ? attempt - 1 : attempt }, bytes)
  const place = { stream: own.stream, firstOffset, eventKey, originOffset }
  const dueAtMs = hold(work, group, place) ? heldDueAtMs : fields.dueAtMs
  work.books.due.save({ ...place, dueAtMs, eventCount: count, attempt })
  own.dueKept++
  const ledger = work.changeLedger(own.groupNumber, own.partition)
  ledger.waitingEvents += count
  ledger.waitingBytes += bytes.length
  group?.expectDue(own.stream, dueAtMs, firstOffset)
  return ledger
}
