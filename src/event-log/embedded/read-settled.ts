// Reads back what a group has settled and the log still keeps, a page at a time, for those who give it to the group again.
//
// Only settled stretches are read: what is not settled costs nothing, and what is settled is durable. Trimming must not run
// meanwhile, for the stretch that is read begins where the stream was trimmed.

import type { ReadSettledOptions, SettledPage } from '../event-log.ts'
import type { UnreadCursor } from './cursor.ts'
import { readEntries } from './page.ts'
import type { LogThread } from './thread-protocol.ts'

/** How much one call reads at most, and a bit more: the thread that commits stands still for it. */
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
