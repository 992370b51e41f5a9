// The contract of the database where events land: what every driver promises, in words that the conformance suite uses
// as its titles (test/conformance/event-store.suite.ts).

import type { Lane } from '../event.ts'
import type { Position } from '../event-log/event-log.ts'
import type { RecordBatch } from '../record-batch.ts'

/** A record batch to land, and where its first event stands in the log. */
export interface LandingEntry {
  readonly position: Position
  readonly batch: RecordBatch
}

/** An event that the database refuses for itself alone. */
export interface PoisonEvent {
  /** Which of the entries. */
  readonly entry: number
  /** Which event of its batch. */
  readonly index: number
  /** The database's own code: an SQLSTATE, or SQLite's result code. */
  readonly databaseCode: string
  readonly message: string
}

/** `landed + duplicates + poison.length` is the number of events given. */
export interface LandedCounts {
  /** Rows made. */
  readonly landed: number
  /** Events whose row was there already. */
  readonly duplicates: number
  /** How many of the duplicates had other content than the row that is there. */
  readonly conflicts: number
  readonly poison: readonly PoisonEvent[]
}

/** A landed event as it is read back. Times are microseconds since 1970-01-01 UTC. */
export interface StoredEvent {
  readonly eventId: string
  readonly id: string
  readonly source: string
  readonly type: string
  readonly subject: string
  readonly timeMicros: number
  readonly receivedAtMicros: number
  readonly topic: string
  readonly lane: Lane
  readonly key: string
  /** JSON text as it was sent; null when the data is not JSON or there is none. */
  readonly dataJson: string | null
  readonly dataBytes: Uint8Array | null
  readonly dataContentType: string
  readonly attributes: ReadonlyMap<string, string>
}

export interface EventQuery {
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

export interface EventPage {
  readonly events: readonly StoredEvent[]
  /** Null at the end. A filtered page may have fewer events than `limit`, even none, and still a cursor. */
  readonly nextCursor: string | null
}

export interface EventStore {
  /**
   * Makes one row for each event that has none yet.
   *
   * Durable: when the promise resolves, the rows are committed and flushed, and a reader sees them.
   * Idempotent: an event that has its row already is counted as a duplicate; the first content wins.
   * Two sources may use one UUID: the second one's row gets the UUIDv5 of source and id for its key.
   * A poison event neither holds up nor drops its neighbours; it has no row.
   * Damaged batches must not be given.
   * Errors: `disk_full` and `unavailable` (retryable; nothing of this call has landed, or it is not known to have);
   * `corrupt` and `internal` (the store has failed, see `failed`).
   */
  landEvents(entries: readonly LandingEntry[]): Promise<LandedCounts>

  /**
   * Lists landed events, newest first by (receivedAt, eventId). A page shows no event twice and, following its cursor,
   * skips none that had landed before the first page. Errors: `invalid_event` for a cursor that is not ours.
   */
  listEvents(query: EventQuery): Promise<EventPage>

  /** Tells which driver it is and whether it answers now. Never throws. */
  describe(): Promise<{ readonly driver: string; readonly up: boolean }>

  /** Resolves with the reason when the store has failed for good, so that the process should end. */
  readonly failed: Promise<Error>

  /** Finishes what was begun and lets go of the files. Idempotent. */
  close(): Promise<void>
}
