// Reads entries from the file into memory, page by page, for the groups that need them.
//
// Reads run in the same thread as commits, so each is kept short. A read starts while the previous page is handed out,
// so that a group that works off a backlog seldom waits for it.

import type { DueCursor, UnreadCursor } from './cursor.ts'
import type { DueEntry } from './due-heap.ts'
import type { GroupPartition } from './group-state.ts'
import type { LogState } from './log-state.ts'
import { Page, readEntries } from './page.ts'
import type { LogThread } from './thread-protocol.ts'

/** About how many bytes one read returns; the last entry may exceed it. */
const pageBytes = 1024 * 1024

/** Max pages of a cursor: one to hand out, one read ahead. */
const maxPagesPerCursor = 2

/** Max reads in flight, over all groups. */
const maxReads = 8

/** Max pages in memory, over all groups. Beyond that the oldest are dropped and read again when needed. */
const maxPages = 32

/** Max due entries that one read fetches from a group's own stream. */
const maxDueEntries = 64

export class PageReader {
  readonly #thread: LogThread
  readonly #state: LogState
  readonly #onRead: () => void
  readonly #onFailure: (reason: unknown) => void
  readonly #loaded: { cursor: UnreadCursor; page: Page }[] = []
  #reads = 0

  constructor(thread: LogThread, state: LogState, onRead: () => void, onFailure: (reason: unknown) => void) {
    this.#thread = thread
    this.#state = state
    this.#onRead = onRead
    this.#onFailure = onFailure
  }

  /** Reads the next page for a cursor, unless a read is in flight or it has enough pages. */
  readOn(cursor: UnreadCursor): void {
    const { stream, pages, nextUnread } = cursor
    if (pages[0] !== undefined && pages[0].from > nextUnread) pages.length = 0
    const from = Math.max(nextUnread, pages[pages.length - 1]?.through ?? 0)
    const firstRecent = stream.tail.first?.firstOffset ?? stream.nextOffset
    const to = firstRecent > from ? firstRecent : stream.nextOffset
    const isInMemory = stream.tail.find(from) !== undefined
    if (cursor.isReading || pages.length >= maxPagesPerCursor || this.#reads >= maxReads) return
    if (isInMemory || from >= stream.nextOffset) return
    cursor.isReading = true
    void this.#read(async () => {
      const read = await this.#thread.call('readPage', { stream: stream.number, from, to, maxBytes: pageBytes })
      cursor.isReading = false
      this.#keep(cursor, new Page(from, read))
    })
  }

  /** Fetches due entries from a group's own stream, unless a read is in flight. */
  fetchDue(part: GroupPartition, cursor: DueCursor, nowMs: number): void {
    if (cursor.isReading || this.#reads >= maxReads) return
    const wanted: DueEntry[] = []
    while (wanted.length < maxDueEntries && (cursor.due.nextDueAtMs ?? Number.POSITIVE_INFINITY) <= nowMs) {
      wanted.push(cursor.due.pop())
    }
    if (wanted.length === 0) return
    cursor.isReading = true
    void this.#read(async () => {
      const offsets = wanted.map(({ offset }) => offset)
      const request = { stream: cursor.stream.number, offsets, maxBytes: pageBytes }
      const read = await this.#thread.call('readEntries', request)
      cursor.isReading = false
      const found = new Map(readEntries(read).map((entry) => [entry.firstOffset, entry]))
      wanted.forEach(({ dueAtMs, offset, count }, index) => {
        const entry = found.get(offset)
        if (index >= read.through) {
          // Not read, because `maxBytes` was reached: the entry stays due.
          cursor.due.push({ dueAtMs, offset, count })
        } else if (entry === undefined) {
          if (!part.group.isDropped)
            this.#state.missing.push({ part, cursor, range: { start: offset, end: offset + count } })
        } else {
          if (entry.count !== count || entry.again === null) entry.damaged = true
          entry.count = count
          cursor.addReady(entry)
        }
      })
    })
  }

  #keep(cursor: UnreadCursor, page: Page): void {
    cursor.pages.push(page)
    this.#loaded.push({ cursor, page })
    if (this.#loaded.length <= maxPages) return
    const stillThere = this.#loaded.filter((loaded) => loaded.cursor.pages.includes(loaded.page))
    for (const surplus of stillThere.splice(0, stillThere.length - maxPages)) surplus.cursor.pages.length = 0
    this.#loaded.splice(0, this.#loaded.length, ...stillThere)
  }

  async #read(read: () => Promise<void>): Promise<void> {
    this.#reads++
    try {
      await read()
    } catch (thrown) {
      this.#onFailure(thrown)
      return
    } finally {
      this.#reads--
    }
    this.#onRead()
  }
}
