// Reads the durable state and audits it: counts the unsettled events entry by entry, independently of the counters.

import type { DatabaseSync, StatementSync } from 'node:sqlite'
import type { Books } from './books.ts'
import { cursorKey, groupByCursor } from './cursor-rows.ts'
import type { CursorRow, SettledRangeRow, StreamRow } from './log-rows.ts'
import { sqlFile } from './sql-file.ts'
import type { AuditReply, AuditRequest, DurableFacts, UnsettledStretch } from './thread-protocol.ts'

interface Counted {
  readonly entries: number
  readonly events: number
  readonly lastOffset: number
}

export class FactFinder {
  readonly #books: Books
  readonly #audit: StatementSync
  readonly #oldest: StatementSync

  constructor(database: DatabaseSync, books: Books) {
    this.#books = books
    this.#audit = database.prepare(sqlFile('audit-entries'))
    this.#oldest = database.prepare(sqlFile('oldest-waiting'))
  }

  /** Reads the books and verifies their checksums again. */
  describe(): DurableFacts {
    const streams = this.#books.streams.load()
    const cursors = this.#books.cursors.load()
    const rangesOf = groupByCursor(this.#books.settledRanges.load())
    const streamOf = new Map(streams.map((row) => [row.stream, row]))
    const oldestWaitingMicros = new Map<number, number>()
    const auditedOwnEvents = new Map<number, number>()
    const toAudit: UnsettledStretch[] = []
    for (const cursor of cursors) {
      const stream = streamOf.get(cursor.stream)!
      const stretches = unsettledStretches(cursor, stream, rangesOf.get(cursorKey(cursor)) ?? [])
      if (stretches.length === 0) continue
      this.#noteOldest(oldestWaitingMicros, cursor)
      if (stream.groupNumber === 0) {
        for (const stretch of stretches) toAudit.push(stretch)
        continue
      }
      // Walked now, because entries of a group's own stream are removed as soon as they are settled.
      const { events } = this.audit({ stretches, maxEntries: Number.MAX_SAFE_INTEGER })
      for (const [group, found] of events) add(auditedOwnEvents, group, found)
    }
    const log = this.#books.log.load()[0]!
    return {
      log,
      streams,
      cursors,
      ledgers: this.#books.ledgers.load(),
      oldestWaitingMicros,
      auditedOwnEvents,
      toAudit,
    }
  }

  /** Walks ranges until `maxEntries` entries were examined. */
  audit({ stretches, maxEntries }: AuditRequest): AuditReply {
    const events = new Map<number, number>()
    let left = maxEntries
    for (let index = 0; index < stretches.length; index++) {
      const stretch = stretches[index]!
      const counted = this.#audit.get(stretch.stream, stretch.from, stretch.to, left) as unknown as Counted
      add(events, stretch.groupNumber, counted.events)
      if (counted.entries >= left) {
        const rest = [{ ...stretch, from: counted.lastOffset + 1 }, ...stretches.slice(index + 1)]
        return { events, rest }
      }
      // An empty range counts as one entry, because looking it up takes time too.
      left = Math.max(1, left - Math.max(1, counted.entries))
    }
    return { events, rest: [] }
  }

  #noteOldest(oldest: Map<number, number>, cursor: CursorRow): void {
    const found = this.#oldest.get(cursor.stream, cursor.settledBelow) as { receivedAtMicros: number } | undefined
    if (found === undefined) return
    const known = oldest.get(cursor.groupNumber)
    if (known === undefined || found.receivedAtMicros < known) oldest.set(cursor.groupNumber, found.receivedAtMicros)
  }
}

/** The ranges that a group has not settled: those between and after its settled ranges. */
export function unsettledStretches(
  cursor: CursorRow,
  stream: StreamRow,
  ranges: readonly SettledRangeRow[],
): UnsettledStretch[] {
  const stretches: UnsettledStretch[] = []
  let from = cursor.settledBelow
  for (const { firstOffset, endOffset } of ranges) {
    if (firstOffset > from)
      stretches.push({ groupNumber: cursor.groupNumber, stream: stream.stream, from, to: firstOffset })
    from = endOffset
  }
  if (from < stream.nextOffset) {
    stretches.push({ groupNumber: cursor.groupNumber, stream: stream.stream, from, to: stream.nextOffset })
  }
  return stretches
}

function add(counts: Map<number, number>, key: number, count: number): void {
  counts.set(key, (counts.get(key) ?? 0) + count)
}
