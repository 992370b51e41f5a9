// The contract of the database where events land: what every driver promises, in words that the conformance suite uses
// as its titles (test/conformance/event-store.suite.ts).

import type { RecordBatch } from '../event/record-batch.ts'
import type { Position } from '../event-log/event-log.ts'
import type { DeadLetterCause, DeadLetterFilter, DeadLetterPage } from '../pipeline/dead-letters.ts'
import type { StoreObservation } from '../pipeline/observations.ts'
import type { EventPage, EventQuery, StoredEvent } from '../pipeline/stored-event.ts'
import type { DeadLetter, StoredDeadLetterQuery } from './dead-letter.ts'

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

/** A landed event, and where it stood in the log. */
export interface LandedEvent {
  readonly event: StoredEvent
  readonly position: Position
}

/** The key of a row, and the source of its event. */
export interface FoundRow {
  readonly eventId: string
  readonly source: string
}

export interface StoreDescription {
  readonly driver: string
  /** Whether it answers now. */
  readonly up: boolean
  /** Why it does not; null when it does. */
  readonly problem: string | null
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

  /**
   * The landed events with these keys, 1000 at most, in no order; those without a row are missing.
   * Errors: `unavailable`.
   */
  findEvents(eventIds: readonly string[]): Promise<readonly LandedEvent[]>

  /** Which of these keys have a row, and whose event it is. */
  findRows(eventIds: readonly string[]): Promise<readonly FoundRow[]>

  /**
   * Makes one row for each dead letter that has none yet. Durable and idempotent as landEvents. Where there is one under
   * this id, the later death counts: the letter is open again, as one that was not redriven.
   * It refuses no letter: text that the database does not take is escaped. Errors: those of landEvents.
   */
  landDeadLetters(deadLetters: readonly DeadLetter[]): Promise<void>

  /**
   * Lists dead letters, newest first by (deadAt, deadLetterId) unless asked otherwise. Errors: `invalid_event` for a cursor
   * that is not ours.
   */
  listDeadLetters(query: StoredDeadLetterQuery): Promise<DeadLetterPage>

  /** One dead letter, with its event; null when there is none with this id. */
  readDeadLetter(deadLetterId: string): Promise<DeadLetter | null>

  /** How many dead letters the filter finds. */
  countDeadLetters(filter: DeadLetterFilter): Promise<number>

  /** What the dead letters died of, the most frequent cause first. */
  groupDeadLetters(filter: DeadLetterFilter): Promise<readonly DeadLetterCause[]>

  /** Notes that these were sent again, at this time: one redrive more for each. Unknown ids are passed over. */
  noteRedriven(deadLetterIds: readonly string[], atMicros: number): Promise<void>

  /** Deletes these for good, and answers how many of them there were. */
  deleteDeadLetters(deadLetterIds: readonly string[]): Promise<number>

  /** Tells which driver it is and whether it answers now, or why not. Never throws. */
  describe(): Promise<StoreDescription>

  /**
   * Looks at the tables for those who watch. Cheap, and bounded whatever the tables have become; it holds up no other call
   * for more than some milliseconds. Errors: `unavailable`.
   */
  observe(): Promise<StoreObservation>

  /** Resolves with the reason when the store has failed for good, so that the process should end. */
  readonly failed: Promise<Error>

  /** Finishes what was begun and lets go of the files. Idempotent. */
  close(): Promise<void>
}
