// What the store suites land and read back.

import type { Lane } from '../../src/event/event.ts'
import { type EventParts, encodeBatch } from '../../src/event/record-batch.ts'
import type { EventQuery, StoredEvent } from '../../src/pipeline/stored-event.ts'
import type { EventPlace, EventStore, LandedCounts, LandingEntry } from '../../src/store/event-store.ts'

/** A base time for tests, in microseconds since 1970. */
export const someMicros = Date.UTC(2026, 0, 1) * 1000

export interface EntryPlace {
  readonly offset?: number
  readonly receivedAtMicros?: number
  readonly topic?: string
  readonly partition?: number
  readonly lane?: Lane
  readonly epoch?: number
}

/** An entry of these events, as the log would hand it out. */
export function entryOf(events: readonly EventParts[], place: EntryPlace = {}): LandingEntry {
  const {
    offset = 0,
    receivedAtMicros = someMicros,
    topic = 'events',
    partition = 0,
    lane = 'normal',
    epoch = 1,
  } = place
  return {
    position: { stream: { topic, partition, lane }, epoch, offset },
    batch: { bytes: encodeBatch(events), count: events.length, receivedAtMicros },
  }
}

/** Consecutive entries of one stream, with at most this many events each. */
export function entriesOf(events: readonly EventParts[], size: number, place: EntryPlace = {}): LandingEntry[] {
  const entries: LandingEntry[] = []
  for (let at = 0; at < events.length; at += size) {
    entries.push(entryOf(events.slice(at, at + size), { ...place, offset: (place.offset ?? 0) + at }))
  }
  return entries
}

/** The result of landEvents; what is not given is 0 or empty. */
export function counts(landed: number, duplicates = 0, conflicts: readonly EventPlace[] = []): LandedCounts {
  return { landed, duplicates, conflicts, poison: [] }
}

/** Everything that matches the query, from all pages. */
export async function listAll(store: EventStore, query: Partial<EventQuery> = {}): Promise<StoredEvent[]> {
  const events: StoredEvent[] = []
  let cursor: string | undefined
  do {
    const page = await store.listEvents({ limit: 1000, ...query, ...(cursor === undefined ? {} : { cursor }) })
    events.push(...page.events)
    cursor = page.nextCursor ?? undefined
  } while (cursor !== undefined)
  return events
}

/** Newest first by (receivedAt, eventId), computed without the store. */
export function newestFirst<T extends { readonly receivedAtMicros: number; readonly eventId: string }>(
  events: readonly T[],
): T[] {
  return [...events].sort(
    (a, b) => b.receivedAtMicros - a.receivedAtMicros || (a.eventId < b.eventId ? 1 : a.eventId > b.eventId ? -1 : 0),
  )
}

/** The event's data as text; null if there is none. */
export function textOf({ data }: Pick<StoredEvent, 'data'>): string | null {
  return data === null ? null : Buffer.from(data).toString()
}
