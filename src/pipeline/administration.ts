// What people can do with events that were accepted: see what became of one, look through the dead letters, send them
// again, feed settled events to a group once more, pause and delete groups. A part of what Millrace can do (pipeline.ts).

import type {
  DeadLetterCause,
  DeadLetterFilter,
  DeadLetterPage,
  DeadLetterQuery,
  DeadLetterSummary,
} from './dead-letters.ts'
import type { StoredEvent } from './stored-event.ts'

/** Names an event: by the row key, or by what its producer called it. */
export interface EventName {
  readonly id: string
  /** Not needed for an id that is a UUID; `/` when left out. */
  readonly source?: string | undefined
}

/** Something that happened to an event. What does not belong to its kind, or was not noted, is null. */
export interface JourneyStep {
  readonly kind: 'accepted' | 'failed' | 'dead' | 'redriven' | 'landed'
  readonly atMicros: number | null
  readonly group: string | null
  readonly attempt: number | null
  readonly code: string | null
  readonly message: string | null
  /** Where it stood in the log, see position-text.ts. */
  readonly position: string | null
  readonly deadLetterId: string | null
}

export interface Journey {
  readonly event: StoredEvent
  /** `waiting`: it died, was sent again, and nobody knows yet what became of it. */
  readonly state: 'landed' | 'dead' | 'waiting'
  /** In their order. */
  readonly steps: readonly JourneyStep[]
}

export interface DeadLetterDetail {
  readonly letter: DeadLetterSummary
  /** Null when its bytes are damaged. */
  readonly event: StoredEvent | null
  /** The bytes of a damaged entry. */
  readonly damagedBytes: Uint8Array | null
}

/** One call of redrive, replay or delete works about this long; then its answer says where to go on. */
export const maxWorkMs = 5000

/** Events per second of a redrive or replay. */
export const rateLimits = { min: 1, max: 100_000, default: 1000 } as const

export interface WorkOptions {
  /** Ends the work between two steps; what was done is done. */
  readonly signal?: AbortSignal | undefined
}

export interface RedriveRequest {
  /** Those that were sent again already are left out, unless they are named by their ids or asked for. */
  readonly filter: DeadLetterFilter
  /** Events per second, see `rateLimits`. */
  readonly rate: number
  /** Only counts. */
  readonly isDryRun: boolean
  /** Other data for the event, when the filter is one id. The media type stays when none is given. */
  readonly edit?: { readonly data: Uint8Array; readonly contentType?: string | undefined } | undefined
  /** From an earlier answer's `nextCursor`. */
  readonly cursor?: string | undefined
}

export interface RedriveAnswer {
  /** How many the filter found when the call began. */
  readonly matched: number
  readonly redriven: number
  /** Those that cannot be sent: damaged, or of a topic or group that is gone. */
  readonly skipped: number
  readonly failedAgain: number
  /** Why it stopped before the end; null when it did not. */
  readonly stopped: string | null
  /** Where to go on; null at the end, and when it stopped. */
  readonly nextCursor: string | null
}

export interface DeleteAnswer {
  /** How many the filter found when the call began. */
  readonly matched: number
  readonly deleted: number
}

export interface ReplayRequest {
  readonly topic: string
  readonly group: string
  /** Received at this time or later, microseconds since 1970. */
  readonly sinceMicros?: number | undefined
  /** A position: only its stream, from there on. */
  readonly from?: string | undefined
  readonly type?: string | undefined
  /** Events per second, see `rateLimits`. */
  readonly rate: number
  /** Only counts. */
  readonly isDryRun: boolean
  /** From an earlier answer's `nextCursor`. */
  readonly cursor?: string | undefined
}

export interface ReplayAnswer {
  readonly replayed: number
  /** Where to go on; null at the end. */
  readonly nextCursor: string | null
}

export interface GroupName {
  readonly topic: string
  readonly group: string
}

/** In UTF-16 code units. */
export const maxPauseReasonLength = 200

export interface DeleteGroupAnswer {
  /** How many events were waiting for the group. They will never reach it. */
  readonly abandoned: number
}

export interface Administration {
  /**
   * Tells what became of an event. Errors: `not_found` when it has neither landed nor died (it may still wait in the log),
   * `unavailable` (the database is away).
   */
  journey(name: EventName): Promise<Journey>

  /** Lists what groups have given up, newest first. Errors: `invalid_event`, `unavailable`; so with the others. */
  listDeadLetters(query: DeadLetterQuery): Promise<DeadLetterPage>

  /** What they died of, the most frequent cause first. */
  groupDeadLetters(filter: DeadLetterFilter): Promise<readonly DeadLetterCause[]>

  /** Errors: `not_found`. */
  getDeadLetter(deadLetterId: string): Promise<DeadLetterDetail>

  /**
   * Sends events of dead letters to their groups again, oldest first, with their ids and times: none lands twice.
   * It waits to see what becomes of each few, and stops by itself when one of them fails again, or nobody can tell.
   * Errors: `invalid_event` (filter, rate or edit), `not_found` (an id of the filter, or its group is gone).
   */
  redriveDeadLetters(request: RedriveRequest, options?: WorkOptions): Promise<RedriveAnswer>

  /**
   * Deletes dead letters for good, none of them younger than the call. Errors: `invalid_event` for a filter without a
   * condition, `not_found` (an id of the filter).
   */
  deleteDeadLetters(filter: DeadLetterFilter, isDryRun: boolean, options?: WorkOptions): Promise<DeleteAnswer>

  /**
   * Feeds what a group has settled, as far as the log still has it, to the group again. What comes in meanwhile is not
   * among it. It waits while the group is far behind.
   * Errors: `invalid_event` (a field), `not_found` (topic or group).
   */
  replay(request: ReplayRequest, options?: WorkOptions): Promise<ReplayAnswer>

  /**
   * Pauses a group: nothing is handed out to it, in any process, until it goes on, also after a restart. What is in hand is
   * finished, and events are taken for it until as many wait as may. Pausing again changes the reason. Idempotent.
   * @param reason one line that the status shows; '' for none.
   * Errors: `invalid_event` (a field), `not_found` (topic or group), `unavailable`; so with the others.
   */
  pauseGroup(name: GroupName, reason: string): Promise<void>

  /** Lets a group go on that somebody has paused. Idempotent. */
  resumeGroup(name: GroupName): Promise<void>

  /**
   * Deletes a group and gives up what waits for it, so that it refuses no events and keeps none in the log any more. Who
   * declares a group of that name again begins at the oldest kept event.
   * Errors: also `failed_precondition` for a group that the server itself declares: it can be paused.
   */
  deleteGroup(name: GroupName): Promise<DeleteGroupAnswer>
}
