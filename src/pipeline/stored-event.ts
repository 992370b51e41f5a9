// A landed event as it is read back, and how landed events are listed.

import type { Lane } from '../event/event.ts'
import type { Micros } from '../lib/timestamp.ts'

/** A landed event as it is read back. Times are microseconds since 1970-01-01 UTC. */
export interface StoredEvent {
  readonly eventId: string
  readonly id: string
  readonly source: string
  readonly type: string
  readonly subject: string
  readonly timeMicros: Micros
  readonly receivedAtMicros: number
  readonly topic: string
  readonly lane: Lane
  readonly key: string
  /** As the store keeps it (docs/tables.md); null when there is none, or it is left out. */
  readonly data: Uint8Array | null
  /** Whether the data is JSON text, in UTF-8. */
  readonly isJson: boolean
  /** Why the event is shown without its data; null when it is not. */
  readonly dataOmitted: string | null
  readonly dataContentType: string
  readonly attributes: ReadonlyMap<string, string>
}

export interface EventQuery {
  readonly topic?: string
  readonly type?: string
  readonly source?: string
  /** Received at this time or later, microseconds since 1970. */
  readonly sinceMicros?: number
  /** Received before this time. */
  readonly untilMicros?: number
  /** 1 .. 1000. */
  readonly limit: number
  /** From an earlier page's `nextCursor`. */
  readonly cursor?: string
}

/** The memory of the data is the caller's: nothing else uses it. */
export interface EventPage {
  readonly events: readonly StoredEvent[]
  /** Null at the end. A filtered page may have fewer events than `limit`, even none, and still a cursor. */
  readonly nextCursor: string | null
}
