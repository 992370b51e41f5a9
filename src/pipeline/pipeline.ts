// What Millrace can do, in one page.
//
// The core implements it, client/ speaks it over gRPC, the HTTP gateway calls it. It grows with each thing Millrace
// learns; today it takes events, lists those that landed, tells how it is, and lets people mend what went wrong
// (administration.ts).

import type { ErrorCode } from '../errors.ts'
import type { Durability } from '../event/durability.ts'
import type { Administration } from './administration.ts'
import type { Observations } from './observations.ts'
import type { EventPage, EventQuery } from './stored-event.ts'

/** What becomes of events for which there is no room. */
export type Overflow = 'reject' | 'drop' | 'wait'

export interface PublishMessage {
  /** A declared topic. */
  readonly topic: string
  readonly overflow: Overflow
  /**
   * The producer's message as it came: an encoded millrace.v1.RecordBatch, or any message whose field 1 is the events.
   * Other fields are passed over. It is kept: the caller must not write to it any more.
   */
  readonly message: Uint8Array
  /** For messages that are numbered: what is already in the log is answered as accepted, not stored again. */
  readonly producer?: { readonly id: string; readonly sequence: number }
}

export interface PublishOptions {
  /** Overflow `wait` only: how long, in milliseconds; after that as `reject`. Without it there is no bound. */
  readonly maxWaitMs?: number
  readonly signal?: AbortSignal
  /** Called each time when events of the message begin to wait, so that the caller may read less ahead. */
  readonly onWait?: () => void
}

/** An event that was not taken. It is not in the log and never will be. */
export interface Rejection {
  /** Its place in the message. */
  readonly index: number
  /** Its id, or '' when it could not be read. */
  readonly id: string
  readonly code: ErrorCode
  readonly message: string
  readonly retryAfterMs?: number
}

/** `accepted + dropped + rejections.length` is the number of events in the message. */
export interface PublishVerdict {
  readonly accepted: number
  readonly dropped: number
  /** In the order of their index. */
  readonly rejections: readonly Rejection[]
  /** What the accepted events have reached. */
  readonly durability: Durability
}

/** Names and meaning as in GET /v1/status. Null is what is not known; it is never 0 instead. */
export interface Status {
  readonly version: string
  readonly uptimeSeconds: number
  readonly durability: Durability
  readonly log: { readonly driver: string; readonly epoch: number | null }
  readonly store: { readonly driver: string; readonly up: boolean }
  readonly topics: readonly TopicStatus[]
  readonly ledger: readonly LedgerRow[]
  readonly subscribers: number | null
  readonly workers: number | null
}

export interface TopicStatus {
  readonly name: string
  readonly partitions: number
  readonly groups: readonly GroupStatus[]
}

export interface GroupStatus {
  readonly name: string
  /** Empty: all types. */
  readonly types: readonly string[]
  readonly waiting: number | null
  readonly inFlight: number | null
  readonly skipped: number | null
  /** Null when nothing waits, too. */
  readonly oldestWaitingSeconds: number | null
  readonly paused: string | null
}

export interface LedgerRow {
  readonly topic: string
  readonly group: string
  readonly accepted: number | null
  readonly reopened: number | null
  readonly waiting: number | null
  readonly landed: number | null
  readonly dead: number | null
  readonly lost: number | null
  readonly balanced: boolean | null
}

/** What a watcher sees at one moment. */
export interface Observed {
  readonly status: Status
  readonly observations: Observations
}

export interface Pipeline {
  /**
   * Publishes one message of events and resolves with a verdict for each of them.
   *
   * Accepted: the event has reached the durability named. Rejected or dropped: it is not in the log and never will be.
   * Ordered: messages are taken in the order of the calls, so events with one key and priority keep their order.
   * Errors, for the message as a whole: `invalid_event` (unreadable), `message_too_large`, `too_many_events`, `not_found`
   * (no such topic), `draining`, `out_of_range` (a sequence too old to be recognised): nothing was taken.
   * `unavailable`, `cancelled`: unknown; send it again with the same ids.
   */
  publish(message: PublishMessage, options?: PublishOptions): Promise<PublishVerdict>

  /** Lists landed events, newest first. Errors: `invalid_event` (a bad cursor), `unavailable` (the database is away). */
  listEvents(query: EventQuery): Promise<EventPage>

  /** What was detected of the log's own persistence: `sqlite-wal`, `aof-always`, `aof-everysec`, `aof-no`, `rdb`, `none`, `unknown`. */
  persistence(): string

  /** Tells how the server is and where the events are. */
  status(): Promise<Status>

  /** Tells the status, and what a watcher wants to know besides. It never waits for the latter. */
  observe(): Promise<Observed>

  /** What people can do with events that were accepted. */
  readonly administration: Administration
}
