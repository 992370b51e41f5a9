// Cuts a record batch into smaller ones, without copying.

import { EventReader, type RecordBatch } from './record-batch.ts'

/** Returns batches of up to `maxEvents` events, in order, which share the bytes. The batch must not be damaged. */
export function cutBatch(batch: RecordBatch, maxEvents: number): RecordBatch[] {
  const { bytes, receivedAtMicros } = batch
  const reader = new EventReader().reset(bytes)
  const cut: RecordBatch[] = []
  let [start, count] = [0, 0]
  const take = (end: number) => {
    cut.push({ bytes: bytes.subarray(start, end), count, receivedAtMicros })
    start = end
    count = 0
  }
  while (reader.next()) if (++count === maxEvents) take(reader.fields.end)
  if (count > 0) take(bytes.length)
  return cut
}
