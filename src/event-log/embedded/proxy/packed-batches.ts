// Packs batches into one buffer, which moves to the log's thread. Batches of one place lie side by side there, so that
// the engine can join them.

import type { RecordBatch } from '../../../event/record-batch.ts'
import { batchFields, type PackedBatches } from '../protocol.ts'

export interface BatchToPack {
  readonly batch: RecordBatch
  /** Index of the place; 0 when there is one. */
  readonly place: number
}

/** @param allocate returns a buffer that can be transferred. */
export function packBatches(
  all: readonly BatchToPack[],
  places: number,
  allocate: (byteLength: number) => Uint8Array<ArrayBuffer>,
): PackedBatches {
  const nextAt = new Float64Array(places + 1)
  for (const { batch, place } of all) nextAt[place + 1]! += batch.bytes.length
  for (let place = 0; place < places; place++) nextAt[place + 1]! += nextAt[place]!
  const bytes = allocate(nextAt[places]!)
  const batches = new Float64Array(all.length * batchFields)
  let row = 0
  for (const { batch, place } of all) {
    const at = nextAt[place]!
    bytes.set(batch.bytes, at)
    nextAt[place] = at + batch.bytes.length
    batches[row] = at
    batches[row + 1] = batch.bytes.length
    batches[row + 2] = batch.count
    batches[row + 3] = batch.receivedAtMicros
    row += batchFields
  }
  return { bytes, batches }
}

/** Packs the batches of one place. */
export function packOf(batches: readonly RecordBatch[]): PackedBatches {
  return packBatches(
    batches.map((batch) => ({ batch, place: 0 })),
    1,
    // Not from Node's pool: it is transferred.
    (byteLength) => Buffer.allocUnsafeSlow(byteLength),
  )
}
