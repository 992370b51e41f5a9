// What Millrace can do, on one page: publish events, list landed events, report its status, give events to workers of
// other processes (work.ts), send them to subscribers (live.ts), answer requests (requests.ts), keep files (files.ts),
// administer accepted events (administration.ts), and say who may call (keys.ts).
//
// The core implements it (server/core.ts), api/ serves it over gRPC and HTTP, client/ calls it over gRPC.

import type { ErrorCode } from '../errors.ts'
import type { Durability } from '../event/durability.ts'
import type { ProducerMessage } from '../event/producer-message.ts'
import type { Administration } from './administration.ts'
import type { Agents } from './agents.ts'
import type { Files } from './files.ts'
import type { GroupState } from './group-state.ts'
import type { Keys } from './keys.ts'
import type { Live } from './live.ts'
import type { Observations } from './observations.ts'
import type { ProcessStatus } from './process-status.ts'
import type { Cause, ReadinessState } from './readiness.ts'
import type { Requests } from './requests.ts'
import type { StatusHistory } from './status-history.ts'
import type { EventPage, EventQuery } from './stored-event.ts'
import type { WorkerStatus, WorkJoin, WorkListener, WorkSession } from './work.ts'

/** What happens to events when there is no room for them in the log. */
export type Overflow = 'reject' | 'drop' | 'wait'

export interface PublishMessage {
  /** A declared topic. */
  readonly topic: string
  readonly overflow: Overflow
  /**
   * The producer's encoded message: a millrace.v1.RecordBatch, or any message whose field 1 is the events; other fields
   * are ignored. The buffer is kept: the caller must not write to it afterwards.
   */
  readonly message: Uint8Array
  /** For numbered messages: events that are already in the log are answered as accepted, not stored again. */
  readonly producer?: ProducerMessage
}

export interface PublishOptions {
  /** Overflow `wait` only: longest wait in milliseconds, then as `reject`. Default: no limit. */
  readonly maxWaitMs?: number
  readonly signal?: AbortSignal
  /** Called each time events of the message begin to wait for room, so that the caller can read less ahead. */
  readonly onWait?: () => void
}

/** An event that was rejected. It is not in the log and never will be. */
export interface Rejection {
  /** The event's index in the message. */
  readonly index: number
  /** The event's id, or '' when it could not be read. */
  readonly id: string
  readonly code: ErrorCode
  readonly message: string
  readonly retryAfterMs?: number
}

/** `accepted + dropped + rejections.length` is the number of events in the message. */
export interface PublishVerdict {
  readonly accepted: number
  readonly dropped: number
  /** Ordered by index. */
  readonly rejections: readonly Rejection[]
  /** The durability that the accepted events have reached. */
  readonly durability: Durability
}

/** Names and meaning as in GET /v1/status. Null means unknown, never 0. */
export interface Status {
  readonly version: string
  readonly uptimeSeconds: number
  readonly durability: Durability
  readonly log: { readonly driver: string; readonly epoch: number | null }
  /** `up`: the database answered within the last 5 s. */
  readonly store: { readonly driver: string; readonly up: boolean }
  /** Whether the answering process can do what its roles are for, as in GET /readyz. */
  readonly state: ReadinessState
  /** What fails in the answering process now; empty when it is ready. */
  readonly causes: readonly Cause[]
  readonly topics: readonly TopicStatus[]
  readonly ledger: readonly LedgerRow[]
  /** Those that use the log, the oldest first; one that has died for 15 s more. */
  readonly processes: readonly ProcessStatus[]
  /** Subscribers of the live feed of the answering process. */
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
  /** Waiting events that a worker could get now: `waiting - scheduled - held - inFlight`. */
  readonly ready: number | null
  /** Events to be redelivered that are not due yet; null also when they are too many to be counted each time. */
  readonly scheduled: number | null
  /** Events that wait for an earlier one of their key, or for a person to release them. */
  readonly held: number | null
  readonly inFlight: number | null
  readonly skipped: number | null
  /** Null also when nothing waits. */
  readonly oldestWaitingSeconds: number | null
  readonly state: GroupState
}

/** A group with what it is told to do. */
export interface ListedGroup extends GroupStatus {
  readonly topic: string
  /** Max events per second, as a person has resumed it; null: no such limit. */
  readonly ratePerSecond: number | null
  /** Null when the answering process has neither its handler nor workers, and for groups that land. */
  readonly options: GroupOptions | null
}

/** How a handler, or the workers of a group, try events. Null: no limit. */
export interface GroupOptions {
  readonly ordered: boolean
  readonly timeoutMs: number
  readonly maxAttempts: number
  readonly initialDelayMs: number
  readonly maxDelayMs: number
  readonly onExhausted: 'dead-letter' | 'hold'
  readonly groupConcurrency: number | null
  readonly ratePerSecond: number | null
  readonly limitPerKey: number | null
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

/** One answer of a watch. */
export interface Observed {
  readonly status: Status
  readonly observations: Observations
}

export interface Pipeline {
  /**
   * Publishes one message of events and resolves with a verdict for each of them.
   *
   * Accepted: the event has reached the durability named in the verdict. Rejected or dropped: the event is not in the
   * log and never will be.
   * Order: messages are appended in the order of the calls, so events with the same key and priority keep their order.
   * Errors, for the message as a whole: `invalid_event` (unreadable), `message_too_large`, `too_many_events`,
   * `not_found` (no such topic), `draining`, `out_of_range` (a sequence too old to be recognised): no event was
   * accepted; of a numbered message some may have been, so resend it. `unavailable`, `cancelled`: the outcome is
   * unknown; publish again with the same ids.
   */
  publish(message: PublishMessage, options?: PublishOptions): Promise<PublishVerdict>

  /**
   * Lists landed events, newest first. Errors: `invalid_event` (a bad cursor), `unavailable` (the database is
   * unreachable).
   */
  listEvents(query: EventQuery): Promise<EventPage>

  /**
   * The log's own persistence as detected: `sqlite-wal`, `aof-always`, `aof-everysec`, `aof-no`, `rdb`, `none`,
   * `unknown`.
   */
  persistence(): string

  /** Returns the state of the server, its topics and groups, and the ledger of events. */
  status(): Promise<Status>

  /** Returns the status and the observations. It waits for the status only, never for the observations. */
  observe(): Promise<Observed>

  /** Returns the groups of all topics. */
  groups(): Promise<readonly ListedGroup[]>

  /** Returns the workers of other processes that are connected to this one, by topic and group. */
  workers(): Promise<readonly WorkerStatus[]>

  /** Returns the last 15 minutes of this process. */
  history(): Promise<StatusHistory>

  /**
   * Joins a worker of another process to a group, which the first one creates and declares.
   * Errors: `invalid_event`, `failed_precondition` (other options than the group has, or a group of the server's own), both
   * name the field of the join; `not_found` (no such topic), `draining`; those of EventLog.consume.
   */
  work(join: WorkJoin, listener: WorkListener): Promise<WorkSession>

  /** Files: uploads, downloads, and what is known of each. */
  readonly files: Files

  /** Events as they are accepted. */
  readonly live: Live

  /** Questions that workers answer. */
  readonly requests: Requests

  /** Operations on accepted events. */
  readonly administration: Administration

  /** Heartbeats, and who has sent them. */
  readonly agents: Agents

  /** API keys: who may call, and what for. */
  readonly keys: Keys
}
