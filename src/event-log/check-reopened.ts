// What every driver checks of the batches that are reopened, before it writes any.

import { MillraceError } from '../errors.ts'
import { maxReopenedBatches, maxReopenedBytes, type Reopened } from './event-log.ts'

/** Errors: `internal` (a batch is damaged, or one call brings more than a driver takes in one step). */
export function checkReopened(batches: readonly Reopened[]): void {
  let bytes = 0
  for (const { batch } of batches) {
    // Stored again it would get a checksum that fits.
    if (batch.damaged === true) throw new MillraceError('internal', 'a damaged batch cannot be reopened')
    bytes += batch.bytes.length
  }
  if (batches.length <= 1 || (batches.length <= maxReopenedBatches && bytes <= maxReopenedBytes)) return
  throw new MillraceError(
    'internal',
    `${batches.length} batches of ${bytes} bytes cannot be reopened in one call; ${maxReopenedBatches} batches and ${maxReopenedBytes} bytes can`,
  )
}
