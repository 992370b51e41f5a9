// Lists landed events, newest first, with only a BRIN index on received_at: one time window after the other, each
// longer than the previous one, until the page is full. Windows without rows cost next to nothing.
//
// The length of the first window is estimated from the last rows of the table, so that it holds about one page, whether
// a million rows came in an hour, in a second or long ago. The estimate affects how fast a page is, never its content.

import type { Pool, PoolClient } from 'pg'
import type { EventPage, EventQuery } from '../../pipeline/stored-event.ts'
import { maxPageBytes } from '../event-store.ts'
import { comparePlaces, formatCursor, type PagePlace, parseCursor, placeBefore, topPlace } from '../page-cursor.ts'
import { latestMicros, placeParameters } from './place-parameters.ts'
import { dataFailureOf, type EventReader, type EventRow, toStoredEvent } from './read-events.ts'
import { readSql } from './sql-file.ts'

/** Length of the first window if the density of the rows is unknown. */
const firstWindowMicros = 1_000_000
const windowGrowth = 16
/** No event was received before 1970. */
const earliestMicros = 0

/**
 * A page is read in steps, each twice as large as the one before, because the server makes the text of all rows of a step
 * before it knows their lengths. A text can be 1,400 times as long as the row.
 */
const firstStepRows = 4
const maxStepRows = 128
/** A step ends at the row that reaches this size in the table: compressed data is several times as long as text. */
const maxStoredBytes = maxPageBytes / 4

/** How many table pages at the end are read for a page of `limit` events; a table page usually holds 5 to 40 rows. */
const lastPagesFor = (limit: number): number => 8 + Math.ceil(limit / 8)

/** BRIN does not cover the newest rows until VACUUM or a summarize call: until then every query reads all of them. */
const slowReadMs = 50
const summarizeEveryMs = 5000

/** Where a row of the page is, and how large. Bigint columns are strings. */
interface FoundRow {
  readonly eventId: string
  readonly receivedAtMicros: string
  readonly storedBytes: number
}

/** Both are null if the end of the table has no rows. */
interface RecentTimes {
  readonly oldestMicros: string | null
  readonly newestMicros: string | null
}

interface TimeWindow {
  readonly from: number
  readonly micros: number
}

/** Runs reads in a transaction with settings of its own. @param begin the statements that begin it. */
export async function inTransaction<T>(
  pool: Pool,
  begin: string,
  read: (client: PoolClient) => Promise<T>,
): Promise<T> {
  const client = await pool.connect()
  try {
    await client.query(begin)
    const result = await read(client)
    await client.query('COMMIT')
    client.release()
    return result
  } catch (thrown) {
    client.release(true)
    throw thrown
  }
}

export class EventLister {
  readonly #beginListing = readSql('begin-listing')
  readonly #listEvents = readSql('list-events')
  readonly #recentTimes = readSql('recent-times')
  readonly #summarizeNewRows = readSql('summarize-new-rows')
  readonly #pool: Pool
  readonly #reader: EventReader
  readonly #monotonicNow: () => number
  #summarizedAtMs = Number.NEGATIVE_INFINITY

  /** @param monotonicNow a monotonic clock, in milliseconds. */
  constructor(pool: Pool, reader: EventReader, monotonicNow: () => number) {
    this.#pool = pool
    this.#reader = reader
    this.#monotonicNow = monotonicNow
  }

  /** Rejects with the driver's error, or `invalid_event` for an invalid cursor. */
  async list(query: EventQuery): Promise<EventPage> {
    try {
      return await this.#list(query, null)
    } catch (thrown) {
      const failure = dataFailureOf(thrown)
      if (failure === null) throw thrown
      // One row is to blame. The first one alone makes a short page; the next page begins behind it.
      return query.limit > 1 ? await this.list({ ...query, limit: 1 }) : await this.#list(query, failure)
    }
  }

  async #list(query: EventQuery, dataFailure: string | null): Promise<EventPage> {
    const top = topOf(query)
    const startedAtMs = this.#monotonicNow()
    const { found, rows } = await inTransaction(this.#pool, this.#beginListing, async (client) => {
      const found = await this.#readWindows(client, query, top)
      if (this.#monotonicNow() - startedAtMs > slowReadMs) void this.#summarize()
      return { found, rows: await this.#readRows(client, found.slice(0, query.limit), dataFailure) }
    })
    const last = rows.at(-1)
    const hasMore = found.length > rows.length && last !== undefined
    return { events: rows.map(toStoredEvent), nextCursor: hasMore ? formatCursor(placeOf(last)) : null }
  }

  /** Reads these rows up to the one whose data reaches the size of a page; data that is left out counts too. */
  async #readRows(client: PoolClient, found: readonly FoundRow[], dataFailure: string | null): Promise<EventRow[]> {
    const rows: EventRow[] = []
    let [bytes, at] = [0, 0]
    for (let stepRows = firstStepRows; at < found.length && bytes < maxPageBytes; stepRows *= 2) {
      const keys = keysOfStep(found.slice(at, at + Math.min(stepRows, maxStepRows)))
      const read = await this.#reader.read(client, keys, maxPageBytes - bytes, dataFailure)
      rows.push(...read)
      bytes += read.reduce((sum, { dataLength }) => sum + dataLength, 0)
      at += keys.length
    }
    return rows
  }

  async #readWindows(client: PoolClient, query: EventQuery, top: PagePlace): Promise<FoundRow[]> {
    const since = Math.max(query.sinceMicros ?? earliestMicros, earliestMicros)
    const rows: FoundRow[] = []
    let below = Math.min(top.receivedAtMicros + 1, latestMicros)
    let { from, micros } = await this.#firstWindow(client, below, query.limit)
    // Reads one row more than the page holds: if it exists, there is a next page.
    while (rows.length <= query.limit && below > since) {
      from = Math.max(since, from)
      rows.push(...(await this.#read(client, query, top, from, below, query.limit + 1 - rows.length)))
      below = from
      micros *= windowGrowth
      from = below - micros
    }
    return rows
  }

  async #firstWindow(client: PoolClient, below: number, limit: number): Promise<TimeWindow> {
    const { rows } = await client.query<RecentTimes>(this.#recentTimes, [limit + 1, lastPagesFor(limit)])
    const { oldestMicros, newestMicros } = rows[0]!
    if (oldestMicros === null || newestMicros === null)
      return { from: below - firstWindowMicros, micros: firstWindowMicros }
    const micros = Number(newestMicros) - Number(oldestMicros) + 1
    if (below > Number(newestMicros)) return { from: Number(oldestMicros), micros }
    const shorter = Math.min(micros, firstWindowMicros)
    return { from: below - shorter, micros: shorter }
  }

  /** Spares the next page from reading all the newest rows. A failure does not matter: pages are correct without it. */
  async #summarize(): Promise<void> {
    const nowMs = this.#monotonicNow()
    if (nowMs - this.#summarizedAtMs < summarizeEveryMs) return
    this.#summarizedAtMs = nowMs
    const client = await this.#pool.connect().catch(() => null)
    const succeeded = await client?.query(this.#summarizeNewRows).then(
      () => true,
      () => false,
    )
    // Fails for a role that does not own the table; its connection is then in a failed transaction.
    client?.release(succeeded !== true)
  }

  async #read(
    client: PoolClient,
    query: EventQuery,
    top: PagePlace,
    from: number,
    below: number,
    limit: number,
  ): Promise<FoundRow[]> {
    const { rows } = await client.query<FoundRow>(this.#listEvents, [
      from === earliestMicros ? null : from,
      below,
      ...placeParameters(top),
      query.topic ?? null,
      query.type ?? null,
      query.source ?? null,
      limit,
    ])
    return rows
  }
}

/** The start of the page: below the cursor and below `untilMicros`. */
function topOf({ cursor, untilMicros }: EventQuery): PagePlace {
  const below = cursor === undefined ? topPlace : parseCursor(cursor)
  const until = untilMicros === undefined ? topPlace : placeBefore(untilMicros)
  return comparePlaces(below, until) > 0 ? below : until
}

/** The rows to read at once. The first one is read in any case. */
function keysOfStep(found: readonly FoundRow[]): string[] {
  const keys: string[] = []
  let bytes = 0
  for (const { eventId, storedBytes } of found) {
    if (bytes >= maxStoredBytes) break
    keys.push(eventId)
    bytes += storedBytes
  }
  return keys
}

function placeOf({ receivedAtMicros, eventId }: EventRow): PagePlace {
  return { receivedAtMicros: Number(receivedAtMicros), eventId: Buffer.from(eventId.replaceAll('-', ''), 'hex') }
}
