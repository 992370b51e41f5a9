// The checks that every driver makes on reopened batches before it writes any of them.

import { MillraceError } from '../errors.ts'
import { maxReopenedBatches, maxReopenedBytes, type Reopened } from './event-log.ts'

/** Errors: `internal` (a batch is damaged, or the call has more batches or bytes than a driver takes in one step). */
export function checkReopened(batches: readonly Reopened[]): void {
  let bytes = 0
  for (const { batch } of batches) {
    // If it were stored again, it would get a valid checksum, which would hide the damage.
    if (batch.damaged === true) throw new MillraceError('internal', 'a damaged batch cannot be reopened: leave it out')
    bytes += batch.bytes.length
  }
  if (batches.length <= 1 || (batches.length <= maxReopenedBatches && bytes <= maxReopenedBytes)) return
  throw new MillraceError(
    'internal',
    `cannot reopen ${batches.length} batches of ${bytes} bytes in one call: ` +
      `the limit is ${maxReopenedBatches} batches and ${maxReopenedBytes} bytes; split the call`,
  )
}
