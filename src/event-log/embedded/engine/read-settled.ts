// Reads entries that a group has settled and the log still keeps, for replay. Only settled ranges are read, so an
// unsettled backlog costs nothing.

import type { ReadSettledOptions, StreamName } from '../../event-log.ts'
import type { CursorRow } from '../file/books.ts'
import type { OffsetRange } from '../file/entry-table.ts'
import type { SettledEntries } from '../protocol.ts'
import { findGroup, findStream } from './find.ts'
import { maxPageBytes, packEntries } from './pack-entries.ts'
import type { UnitOfWork } from './unit-of-work.ts'

export function readSettled(
  work: UnitOfWork,
  name: StreamName,
  group: string,
  { fromOffset, maxBytes }: ReadSettledOptions,
): SettledEntries {
  const { stream, trimmedBelow } = findStream(work, name)
  const cursor = work.cursors.get(findGroup(work, name.topic, group).groupNumber, stream)!
  const wanted = Math.max(fromOffset, trimmedBelow)
  const settled = settledFrom(work, cursor, wanted)
  if (settled === undefined) return { ...packEntries([]), nextOffset: null }
  const { start, end } = settled
  const from = start === wanted ? Math.max(work.entries.startOf(stream, wanted), trimmedBelow) : start
  const page = work.entries.page(stream, { start: from, end }, Math.min(maxBytes, maxPageBytes))
  const next = page.through < end ? page.through : settledFrom(work, cursor, end)?.start
  return { ...packEntries(page.entries), nextOffset: next ?? null }
}

/** The first settled range that ends after an offset, without the part before that offset. */
function settledFrom(work: UnitOfWork, cursor: CursorRow, offset: number): OffsetRange | undefined {
  const { groupNumber, stream, settledBelow } = cursor
  if (offset < settledBelow) return { start: offset, end: settledBelow }
  // Ranges do not overlap, so the one that may contain the offset is the last that begins before it.
  const place = 'WHERE group_number = ? AND stream = ? AND'
  const { settledRanges } = work.books
  const [before] = settledRanges.select(
    `${place} first_offset <= ? ORDER BY first_offset DESC LIMIT 1`,
    ...[groupNumber, stream, offset],
  )
  if (before !== undefined && before.endOffset > offset) return { start: offset, end: before.endOffset }
  const [after] = settledRanges.select(
    `${place} first_offset > ? ORDER BY first_offset LIMIT 1`,
    ...[groupNumber, stream, offset],
  )
  return after === undefined ? undefined : { start: after.firstOffset, end: after.endOffset }
}
