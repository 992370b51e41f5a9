// Reads a topic without a group: the entries behind a cursor, and where cursors begin (event-log/tail.ts).

import { lanes } from '../../../event/event.ts'
import { checkTopicCursor } from '../../check-topic-cursor.ts'
import type { CursorFound, CursorPlace } from '../../tail.ts'
import type { StreamRow, TopicRow } from '../file/books.ts'
import type { EntryContent, EntryPlace } from '../file/entry-table.ts'
import { streamNumber } from '../file/stream-number.ts'
import type { CursorCall, TailCall, TailEntries } from '../protocol.ts'
import { findGroup, findTopic } from './find.ts'
import { maxPageBytes, packEntries } from './pack-entries.ts'
import type { UnitOfWork } from './unit-of-work.ts'

/** A group with more redeliveries in a stream is taken to have settled nothing there: looking for the first would take too long. */
const maxWalkedRedeliveries = 100_000

/**
 * Reads the entries behind the call's cursor, an equal share of each stream that has some; at least one entry of each,
 * while there is room in the page.
 * @param turn the streams are served in turn: from the one with this number, counted round.
 */
export function readTail(work: UnitOfWork, { topic, from, maxBytes }: TailCall, turn: number): TailEntries {
  const streams = streamsOf(work, findTopic(work, topic))
  checkTopicCursor(topic, from, streams.length)
  const { epoch } = work.log
  const offsets = streams.map(({ nextOffset }, index) => Math.min(from.offsets[index] ?? 0, nextOffset))
  const isUnknown = from.epoch !== epoch || offsets.some((offset, index) => offset < (from.offsets[index] ?? 0))
  const behind = streams.flatMap(({ nextOffset }, index) => (offsets[index]! < nextOffset ? [index] : []))
  const first = turn % Math.max(1, behind.length)
  const room = Math.min(maxBytes, maxPageBytes)
  const found: { readonly index: number; readonly entry: EntryPlace & EntryContent }[] = []
  let bytes = 0
  let missed = 0
  for (const index of [...behind.slice(first), ...behind.slice(0, first)]) {
    if (bytes >= room && found.length > 0) break
    const { stream, nextOffset, trimmedBelow } = streams[index]!
    const offset = offsets[index]!
    const start = Math.max(work.entries.startOf(stream, offset), trimmedBelow)
    const page = work.entries.page(stream, { start, end: nextOffset }, room / behind.length)
    missed += page.through - offset
    for (const entry of page.entries) {
      found.push({ index, entry })
      bytes += entry.bytes.length
      missed -= entry.firstOffset + entry.count - Math.max(entry.firstOffset, offset)
    }
    offsets[index] = page.through
  }
  const gap = isUnknown ? { events: null } : missed > 0 ? { events: missed } : null
  const streamOf = found.map(({ index }) => index)
  return { ...packEntries(found.map(({ entry }) => entry)), streams: streamOf, cursor: { epoch, offsets }, gap }
}

export function cursorAt(work: UnitOfWork, { topic, place }: CursorCall): CursorFound {
  const row = findTopic(work, topic)
  const groupNumber =
    typeof place === 'object' && 'settledBy' in place ? findGroup(work, topic, place.settledBy).groupNumber : null
  let isCut = false
  const offsets = streamsOf(work, row).map((stream) => {
    if (groupNumber !== null) return settledBelow(work, groupNumber, stream)
    if (place === 'now') return stream.nextOffset
    if (place === 'earliest') return stream.trimmedBelow
    const { receivedSinceMs } = place as Extract<CursorPlace, { receivedSinceMs: number }>
    const since = receivedSince(work, stream, receivedSinceMs * 1000)
    isCut ||= since.isCut
    return since.offset
  })
  return { cursor: { epoch: work.log.epoch, offsets }, isCut }
}

/** In the order of a cursor. */
function streamsOf(work: UnitOfWork, { topicNumber, partitions }: TopicRow): StreamRow[] {
  const from = streamNumber(topicNumber, 0, 'high')
  const place = 'WHERE stream >= ? AND stream < ? ORDER BY stream'
  return work.books.streams.select(place, from, from + partitions * lanes.length)
}

function settledBelow(
  work: UnitOfWork,
  groupNumber: number,
  { stream, partition, lane, trimmedBelow }: StreamRow,
): number {
  const settled = work.cursors.get(groupNumber, stream)!.settledBelow
  const own = work.ownStream(groupNumber, partition, lane)
  if (own.dueKept === 0) return settled
  if (own.dueKept > maxWalkedRedeliveries) return trimmedBelow
  const [first] = work.books.due.select('WHERE stream = ? ORDER BY origin_offset LIMIT 1', own.stream)
  return Math.min(settled, first?.originOffset ?? settled)
}

/** The first kept entry that was received at a time or later, by halves: entries are in the order of receipt. */
function receivedSince(work: UnitOfWork, { stream, nextOffset, trimmedBelow }: StreamRow, sinceMicros: number) {
  let [low, high, offset] = [trimmedBelow, nextOffset, nextOffset]
  while (low < high) {
    const middle = Math.floor((low + high) / 2)
    const [entry] = work.entries.list(stream, { start: middle, end: high }, 1)
    if (entry === undefined || entry.receivedAtMicros >= sinceMicros) {
      offset = entry?.firstOffset ?? offset
      high = middle
    } else low = entry.firstOffset + entry.count
  }
  return { offset, isCut: low === trimmedBelow && trimmedBelow > 0 }
}
