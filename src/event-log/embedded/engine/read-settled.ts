// Reads entries that a group has settled and the log still keeps, page by page, for replay.
//
// Only settled ranges are read, so an unsettled backlog costs nothing; settled entries are durable. Trimming must not
// run at the same time, because a page may start at the offset up to which the stream was trimmed.

import type { ReadSettledOptions, SettledPage } from '../event-log.ts'
import type { UnreadCursor } from './cursor.ts'
import { readEntries } from './page.ts'
import type { LogThread } from './thread-protocol.ts'

/**
 * About the max bytes that one call reads; the last entry may exceed it. The committing thread is blocked meanwhile.
 */
const maxPageBytes = 1024 * 1024

export async function readSettled(
  thread: LogThread,
  cursor: UnreadCursor,
  epoch: number,
  { fromOffset, maxBytes }: ReadSettledOptions,
): Promise<SettledPage> {
  const { number: stream, name, trimmedBelow } = cursor.stream
  const wanted = Math.max(fromOffset, trimmedBelow)
  const settled = cursor.settledFrom(wanted)
  if (settled === undefined) return { entries: [], nextOffset: null }
  const { start, end } = settled
  const from = start === wanted ? await thread.call('entryStart', { stream, offset: wanted }) : start
  const request = { stream, from, to: end, maxBytes: Math.min(maxBytes, maxPageBytes) }
  const read = await thread.call('readPage', request)
  return {
    entries: readEntries(read).map((entry) => ({
      position: { stream: name, epoch, offset: entry.firstOffset },
      batch: entry.batch(),
    })),
    nextOffset: read.through < end ? read.through : (cursor.settledFrom(end)?.start ?? null),
  }
}
