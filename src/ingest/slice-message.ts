// Cuts a scanned message into what each stream gets: record batches that share the message's bytes.
//
// Nearly every message is valid, without keys and of one lane: it goes to one stream as it stands, only cut where a log
// entry would become too large. Only a message that is mixed, or has events without an id, is copied in parts.

import { lanes, limits } from '../event/event.ts'
import { type MessageScanner, refusedLaneIndex } from '../event/message-scan.ts'
import { eventsTag, type RecordBatch } from '../event/record-batch.ts'
import { writeVarint } from '../lib/protobuf-walk.ts'

/** What one stream gets of a message. */
export interface MessageSlice {
  readonly partition: number
  /** Index into `lanes`. */
  readonly laneIndex: number
  readonly batches: readonly RecordBatch[]
  readonly count: number
  /** Where its events stand in the message, ascending; null when they are all of the message's events. */
  readonly indexes: readonly number[] | null
}

export interface SliceOptions {
  readonly partitions: number
  /** The partition of this message's events that have no key. */
  readonly keylessPartition: number
  readonly receivedAtMicros: number
  /** Names the events that came without an id. */
  readonly newId: () => string
}

/** Cuts all events that were not refused: a slice for each stream that gets any. */
export function sliceMessage(scan: MessageScanner, options: SliceOptions): MessageSlice[] {
  const { partitions, receivedAtMicros } = options
  const keysMatter = scan.keyed && partitions > 1
  if (scan.commonLaneIndex >= 0 && scan.contiguous && !scan.idsLacking && !keysMatter) {
    const partition = partitions === 1 ? 0 : options.keylessPartition
    const batches = cutBatches(scan.message, scan.starts, scan.ends, scan.count, receivedAtMicros)
    return [{ partition, laneIndex: scan.commonLaneIndex, batches, count: scan.count, indexes: null }]
  }
  return Array.from(indexesByStream(scan, options), ([stream, indexes]) => {
    const { bytes, starts, ends } = copyEvents(scan, indexes, options.newId)
    const batches = cutBatches(bytes, starts, ends, indexes.length, receivedAtMicros)
    const laneIndex = stream % lanes.length
    return { partition: (stream - laneIndex) / lanes.length, laneIndex, batches, count: indexes.length, indexes }
  })
}

/** Sorts the events that were not refused: partition * 3 + lane index → indexes in the message, ascending. */
function indexesByStream(scan: MessageScanner, options: SliceOptions): Map<number, number[]> {
  const indexesOfStream = new Map<number, number[]>()
  for (let index = 0; index < scan.count; index++) {
    const laneIndex = scan.laneIndexes[index]!
    if (laneIndex === refusedLaneIndex) continue
    let partition = 0
    if (options.partitions > 1) {
      partition = scan.hasKey[index] === 1 ? scan.keyHashes[index]! % options.partitions : options.keylessPartition
    }
    const stream = partition * lanes.length + laneIndex
    const indexes = indexesOfStream.get(stream)
    if (indexes === undefined) indexesOfStream.set(stream, [index])
    else indexes.push(index)
  }
  return indexesOfStream
}

/** Cuts events that stand one behind the other into batches that are no larger than a log entry may be. */
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

/** The length of an id that is made here: a UUID in its text form. */
const idBytes = 36
const idField = 0x0a

/** Copies the events of these indexes one behind the other, and gives an id to each that has none. */
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

/** Puts the id behind the event's own fields: in protobuf the last one counts, so an empty id before it does no harm. */
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
