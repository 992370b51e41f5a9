// Cuts a record batch into smaller ones, without copying unless it has a trace.

import { encodedTraceOf, withTrace } from './batch-trace.ts'
import { EventReader, type RecordBatch } from './record-batch.ts'

/** Returns batches of up to `maxEvents` events, in order. The batch must not be damaged. */
export function cutBatch(batch: RecordBatch, maxEvents: number): RecordBatch[] {
  const { bytes, receivedAtMicros } = batch
  const reader = new EventReader().reset(bytes)
  const cut: RecordBatch[] = []
  const trace = encodedTraceOf(bytes)
  let [start, count] = [trace.length, 0]
  const take = (end: number) => {
    cut.push({ bytes: withTrace(trace, bytes.subarray(start, end)), count, receivedAtMicros })
    start = end
    count = 0
  }
  while (reader.next()) if (++count === maxEvents) take(reader.fields.end)
  if (count > 0) take(bytes.length)
  return cut
}
