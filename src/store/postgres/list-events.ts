// Reads landed events, newest first, with only a BRIN index on received_at: one time window after the other, each
// longer than the previous one, until the page is full. Windows without rows cost next to nothing.
//
// The length of the first window is estimated from the last rows of the table, so that it holds about one page, whether
// a million rows came in an hour, in a second or long ago. The estimate affects how fast a page is, never its content.

import type { Pool, PoolClient } from 'pg'
import { type Lane, lanes, priorityOfLane } from '../../event/event.ts'
import { parseMicros } from '../../lib/timestamp.ts'
import type { EventPage, EventQuery, StoredEvent } from '../../pipeline/stored-event.ts'
import { comparePlaces, formatCursor, type PagePlace, parseCursor, placeBefore, topPlace } from '../page-cursor.ts'
import { latestMicros, placeParameters } from './place-parameters.ts'
import { readSql } from './sql-file.ts'

/** Length of the first window if the density of the rows is unknown. */
const firstWindowMicros = 1_000_000
const windowGrowth = 16
/** No event was received before 1970. */
const earliestMicros = 0

/** Max payload of one page, in characters and bytes; the event that exceeds it is still on the page. */
const maxPageBytes = 8 * 1024 * 1024

/** How many table pages at the end are read for a page of `limit` events; a table page usually holds 5 to 40 rows. */
const lastPagesFor = (limit: number): number => 8 + Math.ceil(limit / 8)

/** BRIN does not cover the newest rows until VACUUM or a summarize call: until then every query reads all of them. */
const slowReadMs = 50
const summarizeEveryMs = 5000

export interface EventRow {
  readonly eventId: string
  readonly id: string | null
  readonly source: string
  readonly type: string
  readonly subject: string | null
  readonly timeMicros: string
  readonly receivedAtMicros: string
  readonly topic: string
  readonly priority: number
  readonly key: string | null
  readonly data: string | null
  readonly dataBytes: Buffer | null
  readonly dataContentType: string
  readonly attributes: Readonly<Record<string, string>> | null
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

export class EventLister {
  readonly #beginListing = readSql('begin-listing')
  readonly #listEvents = readSql('list-events')
  readonly #recentTimes = readSql('recent-times')
  readonly #summarizeNewRows = readSql('summarize-new-rows')
  readonly #pool: Pool
  readonly #monotonicNow: () => number
  #summarizedAtMs = Number.NEGATIVE_INFINITY

  /** @param monotonicNow a monotonic clock, in milliseconds. */
  constructor(pool: Pool, monotonicNow: () => number) {
    this.#pool = pool
    this.#monotonicNow = monotonicNow
  }

  /** Rejects with the driver's error, or `invalid_event` for an invalid cursor. */
  async list(query: EventQuery): Promise<EventPage> {
    const top = topOf(query)
    const startedAtMs = this.#monotonicNow()
    const rows = await this.#inOneSnapshot((client) => this.#readWindows(client, query, top))
    if (this.#monotonicNow() - startedAtMs > slowReadMs) void this.#summarize()
    return pageOf(rows, query.limit)
  }

  async #inOneSnapshot<T>(read: (client: PoolClient) => Promise<T>): Promise<T> {
    const client = await this.#pool.connect()
    try {
      await client.query(this.#beginListing)
      const result = await read(client)
      await client.query('COMMIT')
      client.release()
      return result
    } catch (thrown) {
      client.release(true)
      throw thrown
    }
  }

  async #readWindows(client: PoolClient, query: EventQuery, top: PagePlace): Promise<EventRow[]> {
    const since = Math.max(query.sinceMicros ?? earliestMicros, earliestMicros)
    const rows: EventRow[] = []
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
  ): Promise<EventRow[]> {
    const { rows } = await client.query<EventRow>(this.#listEvents, [
      from === earliestMicros ? null : from,
      below,
      ...placeParameters(top),
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

function pageOf(rows: readonly EventRow[], limit: number): EventPage {
  const events: StoredEvent[] = []
  let bytes = 0
  for (const row of rows.slice(0, limit)) {
    events.push(toStoredEvent(row))
    bytes += (row.data?.length ?? 0) + (row.dataBytes?.length ?? 0)
    if (bytes >= maxPageBytes) break
  }
  const last = rows[events.length - 1]
  return { events, nextCursor: rows.length > events.length && last !== undefined ? formatCursor(placeOf(last)) : null }
}

function placeOf({ receivedAtMicros, eventId }: EventRow): PagePlace {
  return { receivedAtMicros: Number(receivedAtMicros), eventId: Buffer.from(eventId.replaceAll('-', ''), 'hex') }
}

const laneOfNumber = new Map<number, Lane>(lanes.map((lane) => [priorityOfLane[lane], lane]))

export function toStoredEvent(row: EventRow): StoredEvent {
  return {
    eventId: row.eventId,
    id: row.id ?? row.eventId,
    source: row.source,
    type: row.type,
    subject: row.subject ?? '',
    timeMicros: parseMicros(row.timeMicros),
    receivedAtMicros: Number(row.receivedAtMicros),
    topic: row.topic,
    lane: laneOfNumber.get(row.priority) ?? 'normal',
    key: row.key ?? '',
    dataJson: row.data,
    dataBytes: row.dataBytes,
    dataContentType: row.dataContentType,
    attributes: new Map(Object.entries(row.attributes ?? {})),
  }
}
