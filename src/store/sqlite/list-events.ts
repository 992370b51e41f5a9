// Reads landed events, newest first, without an index on received_at: block by block (landing-blocks.ts), blocks with
// the newest rows first, until no remaining block can contain a row of the page.
//
// It runs in the thread that lands, so the work per page is bounded: with a filter that matches few rows a page ends
// early, with a cursor.

import type { DatabaseSync, StatementSync } from 'node:sqlite'
import { maxDataBytes, maxPageBytes } from '../event-store.ts'
import { comparePlaces, type PagePlace, placeBefore } from '../page-cursor.ts'
import { readSql } from './sql-file.ts'

export interface PageRequest {
  readonly below: PagePlace
  readonly sinceMicros: number
  readonly topic: string | null
  readonly type: string | null
  readonly source: string | null
  readonly limit: number
}

/** A row of `events` as it is sent to the main thread. */
export interface ReadRow {
  readonly event_id: Uint8Array
  readonly id: string | null
  readonly source: string
  readonly type: string
  readonly subject: string | null
  readonly time: string
  readonly received_at: number
  readonly topic: string
  readonly priority: number
  readonly key: string | null
  readonly data: Uint8Array | null
  readonly is_json: 0 | 1
  /** In bytes, also when the data is left out because it is too long. */
  readonly data_length: number
  readonly data_content_type: string
  readonly attributes: string | null
}

export interface PageAnswer {
  readonly rows: readonly ReadRow[]
  /** The start of the next page; null at the end. */
  readonly next: PagePlace | null
}

/** Max rows examined for one filtered page, about 25 ms; the block that reaches it is still read to its end. */
const maxExaminedRows = 65_536

interface FoundRow extends PagePlace {
  readonly rowid: number
}

type BlockColumns = { first_rowid: number; last_rowid: number; max_received_at: number }
type FoundColumns = { rowid: number; received_at: number; event_id: Uint8Array }

export class EventLister {
  readonly #listBlocks: StatementSync
  readonly #findInBlock: StatementSync
  readonly #readEvent: StatementSync

  constructor(database: DatabaseSync) {
    this.#listBlocks = database.prepare(readSql('list-blocks'))
    this.#findInBlock = database.prepare(readSql('find-in-block'))
    this.#readEvent = database.prepare(readSql('read-event'))
  }

  list(request: PageRequest): PageAnswer {
    const { found, next } = this.#find(request)
    const rows: ReadRow[] = []
    let bytes = 0
    for (const place of found) {
      const row = this.#readEvent.get(place.rowid, maxDataBytes) as unknown as ReadRow | undefined
      // It has just been deleted.
      if (row === undefined) continue
      rows.push(row)
      if (row.data_length <= maxDataBytes) bytes += row.data_length
      if (bytes >= maxPageBytes) return { rows, next: place }
    }
    return { rows, next }
  }

  /** The rows of the page, newest first, and the start of the next page. */
  #find({ below, sinceMicros, topic, type, source, limit }: PageRequest): {
    found: FoundRow[]
    next: PagePlace | null
  } {
    // Finds one row more than the page holds: if it exists, there is a next page.
    let found: FoundRow[] = []
    const isFiltered = topic !== null || type !== null || source !== null
    let examined = 0
    const blocks = this.#listBlocks.iterate(sinceMicros, below.receivedAtMicros) as Iterable<unknown>
    for (const { first_rowid, last_rowid, max_received_at } of blocks as Iterable<BlockColumns>) {
      const last = found[limit]
      if (last !== undefined && last.receivedAtMicros > max_received_at) break
      if (isFiltered && examined >= maxExaminedRows) {
        // Exactly the rows above this place have been examined.
        const next = placeBefore(max_received_at + 1)
        if (comparePlaces(below, next) < 0) {
          return { found: found.filter((row) => comparePlaces(row, next) < 0), next }
        }
      }
      examined += last_rowid - first_rowid + 1
      const since = Math.max(sinceMicros, last?.receivedAtMicros ?? sinceMicros)
      const rows = this.#findInBlock.all(
        first_rowid,
        last_rowid,
        since,
        below.receivedAtMicros,
        below.eventId,
        topic,
        type,
        source,
        limit + 1,
      ) as unknown as FoundColumns[]
      found = merge(found, rows, limit + 1)
    }
    return found.length > limit ? { found: found.slice(0, limit), next: found[limit - 1]! } : { found, next: null }
  }
}

function merge(found: readonly FoundRow[], rows: readonly FoundColumns[], limit: number): FoundRow[] {
  const more = rows.map(({ rowid, received_at, event_id }) => ({
    rowid,
    receivedAtMicros: received_at,
    eventId: event_id,
  }))
  return found.concat(more).sort(comparePlaces).slice(0, limit)
}
