// What every driver refuses of the registration of a request, in the same words.

import { MillraceError } from '../errors.ts'
import type { RecordBatch } from '../event/record-batch.ts'
import type { StreamName } from './event-log.ts'

/** Throws `internal` unless one event is appended to partition 0, lane normal. */
export function checkRegistration({ partition, lane }: StreamName, batches: readonly RecordBatch[]): void {
  if (partition === 0 && lane === 'normal' && batches.length === 1 && batches[0]!.count === 1) return
  throw new MillraceError('internal', 'a request is one batch of one event, appended to partition 0, lane normal')
}

export function usedForOther(id: string): MillraceError {
  return new MillraceError(
    'failed_precondition',
    `the request id ${JSON.stringify(id)} was used for other content; use a new id`,
    { field: 'request_id' },
  )
}
