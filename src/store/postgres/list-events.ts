// Reads landed events, newest first, with no other index on received_at than BRIN: stretch by stretch of time, each longer
// than the one before, until the page is full. Stretches without rows cost next to nothing.

import type { Pool } from 'pg'
import { type Lane, lanes, priorityOfLane } from '../../event.ts'
import type { EventPage, EventQuery, StoredEvent } from '../event-store.ts'
import { comparePlaces, formatCursor, type PagePlace, parseCursor, placeBefore, topPlace } from '../page-cursor.ts'
import { latestMicros, placeParameters } from './place-parameters.ts'
import { readSql } from './sql-file.ts'

const firstStretchMicros = 1_000_000
const stretchGrowth = 16
/** Before 1970 nothing was received. */
const earliestMicros = 0

/** Payload of one page, in characters and bytes; the event that passes it is still shown. */
const maxPageBytes = 8 * 1024 * 1024

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

export class EventLister {
  readonly #statement = readSql('list-events')
  readonly #pool: Pool
  readonly #now: () => number

  /** @param now the wall clock, in milliseconds since 1970: the first stretch begins a little before it. */
  constructor(pool: Pool, now: () => number) {
    this.#pool = pool
    this.#now = now
  }

  /** Rejects with the driver's error, or `invalid_event` for a cursor that is not ours. */
  async list(query: EventQuery): Promise<EventPage> {
    const top = topOf(query)
    const since = Math.max(query.sinceMicros ?? earliestMicros, earliestMicros)
    const rows: EventRow[] = []
    let below = Math.min(top.receivedAtMicros + 1, latestMicros)
    let stretch = firstStretchMicros
    // One more than the page holds: whether it exists tells whether there is a next page.
    while (rows.length <= query.limit && below > since) {
      const from = Math.max(since, Math.min(below, this.#now() * 1000) - stretch)
      rows.push(...(await this.#read(query, top, from, below, query.limit + 1 - rows.length)))
      below = from
      stretch *= stretchGrowth
    }
    return pageOf(rows, query.limit)
  }

  async #read(query: EventQuery, top: PagePlace, from: number, below: number, limit: number): Promise<EventRow[]> {
    const { rows } = await this.#pool.query<EventRow>(this.#statement, [
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

/** Where the page begins: below the cursor and below `untilMicros`. */
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
    timeMicros: Number(row.timeMicros),
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
