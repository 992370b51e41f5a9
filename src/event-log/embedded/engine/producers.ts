// The producers of numbered messages: which sequences of its highest epoch each has stored in a stream.

import type { ProducerMessage } from '../../../event/producer-message.ts'
import { producerWindow } from '../../event-log.ts'
import { fenced, tooOld } from '../../numbered-message.ts'
import type { ProducerRow, StreamRow } from '../file/books.ts'
import { ProducerWindow } from './producer-window.ts'
import type { UnitOfWork } from './unit-of-work.ts'

/**
 * Whether the stream has the message already; that counts as a use of the producer.
 * Errors: `failed_precondition` (the stream knows a higher epoch), `out_of_range` (too old to know).
 */
export function isResend(work: UnitOfWork, { stream }: StreamRow, message: ProducerMessage): boolean {
  const row = work.producers.get(stream, message.id)
  if (row === undefined || row.epoch < message.epoch) return false
  if (row.epoch > message.epoch) throw fenced(message, row.epoch)
  if (message.sequence <= row.lastSequence - producerWindow) throw tooOld(message)
  if (!new ProducerWindow(row.lastSequence, row.stored).has(message.sequence)) return false
  use(work, row)
  return true
}

/** Remembers that the message is stored. */
export function remember(work: UnitOfWork, { stream }: StreamRow, { id, epoch, sequence }: ProducerMessage): void {
  let row = work.producers.get(stream, id)
  if (row === undefined) {
    const empty = { lastSequence: 0, stored: new ProducerWindow().toBytes() }
    row = work.producers.add({ stream, name: id, epoch, ...empty, usedAt: 0 }, stream, id)
    work.changeLog().producers++
  }
  const isSame = row.epoch === epoch
  const window = isSame ? new ProducerWindow(row.lastSequence, row.stored) : new ProducerWindow()
  window.add(sequence)
  Object.assign(use(work, row), { epoch, lastSequence: window.last, stored: window.toBytes() })
}

/** Uses are ordered by append numbers: this one comes after all of earlier transactions. */
function use(work: UnitOfWork, row: ProducerRow): ProducerRow {
  work.producers.change(row).usedAt = work.log.lastAppendNumber + 1
  return row
}
