// Splits a scanned message into one slice per stream: record batches that share the message's bytes.
//
// Nearly every message is valid, without keys and of one lane: it goes to one stream without a copy, cut only where a
// log entry would become too large. Events are copied only when a message is mixed or has events without an id.

import type { MillraceError } from '../errors.ts'
import { lanes, limits } from '../event/event.ts'
import { type MessageScanner, refusedLaneIndex } from '../event/message-scan.ts'
import { eventsTag, type RecordBatch } from '../event/record-batch.ts'
import { writeVarint } from '../lib/protobuf-walk.ts'

/** The events of a message that go to one stream. */
export interface MessageSlice {
  readonly partition: number
  /** Index into `lanes`. */
  readonly laneIndex: number
  /** Why the stream takes none of them; null when the log is to be asked. */
  readonly refusal: MillraceError | null
  /** Empty after a refusal. */
  readonly batches: readonly RecordBatch[]
  readonly count: number
  /** The indexes of its events in the message, ascending; null when the slice is the whole message. */
  readonly indexes: readonly number[] | null
}

/** By stream: partition * 3 + lane index. */
export type Refusals = readonly (MillraceError | null)[]

export interface SliceOptions {
  readonly partitions: number
  /** Why each stream takes no events now, null if it does. Null: all do. */
  readonly refusals: Refusals | null
  /** The partition of this message's events without a value that picks one. */
  readonly keylessPartition: number
  readonly receivedAtMicros: number
  /** Makes the id of an event that has none. */
  readonly newId: () => string
}

/** Returns a slice for each stream that gets events of the message. Refused events are left out. */
export function sliceMessage(scan: MessageScanner, options: SliceOptions): MessageSlice[] {
  const { partitions, receivedAtMicros, refusals } = options
  const keysMatter = scan.hasPartitionKeys && partitions > 1
  if (scan.commonLaneIndex >= 0 && scan.contiguous && !scan.idsLacking && !keysMatter) {
    const partition = partitions === 1 ? 0 : options.keylessPartition
    const laneIndex = scan.commonLaneIndex
    const refusal = refusals?.[partition * lanes.length + laneIndex] ?? null
    const slice = { partition, laneIndex, refusal, count: scan.count, indexes: null }
    if (refusal !== null) return [{ ...slice, batches: [] }]
    return [{ ...slice, batches: cutBatches(scan.message, scan.starts, scan.ends, scan.count, receivedAtMicros) }]
  }
  return Array.from(indexesByStream(scan, options), ([stream, indexes]) => {
    const laneIndex = stream % lanes.length
    const partition = (stream - laneIndex) / lanes.length
    const refusal = refusals?.[stream] ?? null
    const slice = { partition, laneIndex, refusal, count: indexes.length, indexes }
    if (refusal !== null) return { ...slice, batches: [] }
    const { bytes, starts, ends } = copyEvents(scan, indexes, options.newId)
    return { ...slice, batches: cutBatches(bytes, starts, ends, indexes.length, receivedAtMicros) }
  })
}

/** Assigns the events that were not refused: partition * 3 + lane index → indexes in the message, ascending. */
function indexesByStream(scan: MessageScanner, options: SliceOptions): Map<number, number[]> {
  const indexesOfStream = new Map<number, number[]>()
  for (let index = 0; index < scan.count; index++) {
    const laneIndex = scan.laneIndexes[index]!
    if (laneIndex === refusedLaneIndex) continue
    let partition = 0
    if (options.partitions > 1) {
      const hasKey = scan.hasPartitionKey[index] === 1
      partition = hasKey ? scan.partitionHashes[index]! % options.partitions : options.keylessPartition
    }
    const stream = partition * lanes.length + laneIndex
    const indexes = indexesOfStream.get(stream)
    if (indexes === undefined) indexesOfStream.set(stream, [index])
    else indexes.push(index)
  }
  return indexesOfStream
}

/**
 * Cuts adjacent events into batches within the limits of a log entry. An event above the byte limit gets its own batch.
 */
function cutBatches(
  bytes: Uint8Array,
  starts: Int32Array,
  ends: Int32Array,
  count: number,
  receivedAtMicros: number,
): RecordBatch[] {
  const batches: RecordBatch[] = []
  for (let first = 0; first < count; ) {
    const start = starts[first]!
    let next = first + 1
    while (next < count && next - first < limits.maxEntryEvents && ends[next]! - start <= limits.maxEntryBytes) next++
    batches.push({ bytes: bytes.subarray(start, ends[next - 1]!), count: next - first, receivedAtMicros })
    first = next
  }
  return batches
}

/** The length of a generated id: a UUID as text. */
const idBytes = 36
const idField = 0x0a

/** Copies the events of these indexes into one buffer and gives an id to each event that has none. */
function copyEvents(scan: MessageScanner, indexes: readonly number[], newId: () => string) {
  const { message } = scan
  let room = 0
  for (const index of indexes) {
    room += scan.ends[index]! - scan.starts[index]! + (scan.lacksId[index] === 1 ? idBytes + 2 + 5 : 0)
  }
  const bytes = Buffer.allocUnsafeSlow(room)
  const starts = new Int32Array(indexes.length)
  const ends = new Int32Array(indexes.length)
  let at = 0
  for (const [place, index] of indexes.entries()) {
    starts[place] = at
    const start = scan.starts[index]!
    const end = scan.ends[index]!
    if (scan.lacksId[index] === 1) {
      at = copyWithId(message, start, end, bytes, at, newId())
    } else {
      bytes.set(message.subarray(start, end), at)
      at += end - start
    }
    ends[place] = at
  }
  return { bytes: bytes.subarray(0, at), starts, ends }
}

/**
 * Appends the id after the event's own fields: in protobuf the last value of a field counts, so it replaces an empty
 * id.
 */
function copyWithId(message: Uint8Array, start: number, end: number, into: Buffer, at: number, id: string): number {
  let bodyStart = start + 1
  while (message[bodyStart]! >= 0x80) bodyStart++
  bodyStart++
  const length = end - bodyStart + idBytes + 2
  into[at] = eventsTag
  at = writeVarint(into, at + 1, length)
  into.set(message.subarray(bodyStart, end), at)
  at += end - bodyStart
  into[at] = idField
  into[at + 1] = idBytes
  into.write(id, at + 2, 'latin1')
  return at + 2 + idBytes
}
