// Operations on accepted events: trace one event, list, redrive and delete dead letters, replay settled events to a
// group, pause, resume and delete groups, release held keys. Part of the Pipeline contract (pipeline.ts).

import type { Lane } from '../event/event.ts'
import type {
  DeadLetterCause,
  DeadLetterFilter,
  DeadLetterPage,
  DeadLetterQuery,
  DeadLetterSummary,
} from './dead-letters.ts'
import type { StoredEvent } from './stored-event.ts'

/** Identifies an event, by its row key or by the id that its producer gave it. */
export interface EventName {
  readonly id: string
  /** Optional when `id` is a UUID. For any other id the default is `/`. */
  readonly source?: string | undefined
}

/** One step in an event's history. A field that does not apply to the step's kind, or was not recorded, is null. */
export interface JourneyStep {
  /**
   * For the group of a handler: the event was `handed_out`, an attempt has `begun`, and has `ended` well or `failed`; its
   * outcome is `settled`. `not_kept`: the asked process has no times of it, and the message says why.
   */
  readonly kind:
    | ('accepted' | 'landed' | 'failed' | 'dead' | 'redriven')
    | ('handed_out' | 'begun' | 'ended' | 'settled' | 'not_kept')
  readonly atMicros: number | null
  readonly group: string | null
  readonly attempt: number | null
  readonly code: string | null
  readonly message: string | null
  /** The event's position in the log, in the form of position-text.ts. */
  readonly position: string | null
  readonly deadLetterId: string | null
}

export interface Journey {
  readonly event: StoredEvent
  /** `waiting`: the event was dead, has been redriven, and its new outcome is not known yet. */
  readonly state: 'landed' | 'dead' | 'waiting'
  /** In the order in which they happened. */
  readonly steps: readonly JourneyStep[]
}

export interface DeadLetterDetail {
  readonly letter: DeadLetterSummary
  /** Null when its bytes are damaged. */
  readonly event: StoredEvent | null
  /** The bytes of a damaged entry; null when `event` is set. */
  readonly damagedBytes: Uint8Array | null
}

/**
 * Approximate time limit of one redrive, replay or delete call, in milliseconds. Redrive and replay then return a
 * cursor to continue from; delete is called again until `deleted` is 0.
 */
export const maxWorkMs = 5000

/** The rate of a redrive, a replay or a resumed group, in events per second; the default is that of the first two. */
export const rateLimits = { min: 1, max: 100_000, default: 1000 } as const

export interface WorkOptions {
  /** Stops the work between two steps. Completed steps are not undone. */
  readonly signal?: AbortSignal | undefined
}

export interface RedriveRequest {
  /** Letters that were redriven already are excluded, unless the filter has `deadLetterIds` or sets `isRedriven`. */
  readonly filter: DeadLetterFilter
  /** Events per second, see `rateLimits`. */
  readonly rate: number
  /** Counts the matching letters, redrives none. */
  readonly isDryRun: boolean
  /**
   * Replaces the event's data; allowed only when the filter has exactly one id. Without `contentType` the event keeps
   * its media type.
   */
  readonly edit?: { readonly data: Uint8Array; readonly contentType?: string | undefined } | undefined
  /** From an earlier answer's `nextCursor`. */
  readonly cursor?: string | undefined
}

export interface RedriveAnswer {
  /** How many letters matched the filter when the call began. */
  readonly matched: number
  readonly redriven: number
  /** Letters that cannot be redriven: damaged, a request past its deadline, or without a topic or group that exists. */
  readonly skipped: number
  readonly failedAgain: number
  /** Why the redrive stopped before the end; null when it did not. */
  readonly stopped: string | null
  /** Where to continue; null at the end, and when the redrive stopped. */
  readonly nextCursor: string | null
}

export interface DeleteAnswer {
  /** How many letters matched the filter when the call began. */
  readonly matched: number
  readonly deleted: number
}

/** The group of a replay that names none. */
export const defaultReplayGroup = 'landing'

export interface ReplayRequest {
  readonly topic: string
  readonly group: string
  /** Only events received at this time or later, in microseconds since 1970. */
  readonly sinceMicros?: number | undefined
  /** A position: only events of its stream, starting there. */
  readonly from?: string | undefined
  readonly type?: string | undefined
  /** Events per second, see `rateLimits`. */
  readonly rate: number
  /** Counts the events, replays none. */
  readonly isDryRun: boolean
  /** From an earlier answer's `nextCursor`. */
  readonly cursor?: string | undefined
}

export interface ReplayAnswer {
  readonly replayed: number
  /** Where to continue; null at the end. */
  readonly nextCursor: string | null
}

export interface GroupName {
  readonly topic: string
  readonly group: string
}

/** Maximum length of a pause's reason, in UTF-16 code units. */
export const maxPauseReasonLength = 200

export interface DeleteGroupAnswer {
  /** How many events were waiting for the group. They are never delivered to it. */
  readonly abandoned: number
}

/** A key of a group whose events wait for the first of them: for its next attempt, or for a person. */
export interface HeldKey {
  /** The event's `event_id` where it has no key or its group has no order. */
  readonly key: string
  readonly partition: number
  readonly priority: Lane
  /** How many events of it wait, the first one included. */
  readonly events: number
  /** How many attempts the first one has had. */
  readonly attempts: number
  /** When the first one is due, in microseconds since 1970; null when it is held until it is released. */
  readonly dueAtMicros: number | null
}

export interface HeldKeys {
  readonly keys: readonly HeldKey[]
  /** There are more than were asked for. */
  readonly hasMore: boolean
}

/**
 * What is done with the first event of a key:
 * - `retry`: one more attempt now.
 * - `release`: all its attempts again, the first one now.
 * - `skip`: it becomes a dead letter, and its key goes on.
 */
export const releaseActions = ['retry', 'release', 'skip'] as const

export type ReleaseAction = (typeof releaseActions)[number]

/**
 * Every call can fail with `invalid_event` (the message names the field) and with `unavailable` (the log or the
 * database is unreachable). Each call lists its other errors.
 */
export interface Administration {
  /**
   * Returns an event and what happened to it. Errors: `not_found` when it has neither landed nor become a dead letter;
   * it may still be waiting in the log.
   */
  journey(name: EventName): Promise<Journey>

  /** Lists dead letters, newest first. */
  listDeadLetters(query: DeadLetterQuery): Promise<DeadLetterPage>

  /** Groups dead letters by cause, most frequent cause first. */
  groupDeadLetters(filter: DeadLetterFilter): Promise<readonly DeadLetterCause[]>

  /** Returns one dead letter with its event. Errors: `not_found`. */
  getDeadLetter(deadLetterId: string): Promise<DeadLetterDetail>

  /**
   * Sends the events of dead letters to their groups again, oldest first, with the same ids and times: none lands
   * twice. It works in steps and waits for the outcome of each: 10 events, 100, then up to 1,000, of which two steps
   * can be under way. It stops when an event fails again, or when an outcome stays unknown.
   * Errors: `invalid_event` (filter, rate or edit), `not_found` (an id of the filter, or the group no longer exists),
   * `failed_precondition` (a letter named by id is damaged).
   */
  redriveDeadLetters(request: RedriveRequest, options?: WorkOptions): Promise<RedriveAnswer>

  /**
   * Deletes dead letters permanently, but none that is newer than the call. Errors: `invalid_event` for a filter
   * without a condition, `not_found` (an id of the filter).
   */
  deleteDeadLetters(filter: DeadLetterFilter, isDryRun: boolean, options?: WorkOptions): Promise<DeleteAnswer>

  /**
   * Delivers the events that a group has settled to the group again, as far as the log still keeps them. Events
   * received after the replay began are not included. It pauses while the group has a large backlog.
   * Errors: `not_found` (topic or group), `failed_precondition` (`from` is a position of another epoch).
   */
  replay(request: ReplayRequest, options?: WorkOptions): Promise<ReplayAnswer>

  /**
   * Pauses a group: no process gets deliveries for it until it is resumed, also after a restart. Deliveries in flight
   * are finished. Events are still accepted, up to the group's limit of waiting events. Calling it again replaces the
   * reason. Idempotent.
   * @param reason one line, shown in the status; '' for none.
   * Errors: `not_found` (topic or group).
   */
  pauseGroup(name: GroupName, reason: string): Promise<void>

  /**
   * Resumes a group that a person has paused. With a rate it gets at most so many events per second (`rateLimits`), in all
   * processes together and also after a restart, until it is resumed without one. Idempotent.
   * Errors: `not_found` (topic or group), `invalid_event` (rate).
   */
  resumeGroup(name: GroupName, rate?: number): Promise<void>

  /**
   * Deletes a group and abandons the events that wait for it: they no longer count against the limit of waiting events
   * and are no longer kept in the log. A group that is declared again with this name starts at the oldest event in the
   * log.
   * Errors: `not_found` (topic or group), `failed_precondition` for a group that the server itself declares (pause it
   * instead).
   */
  deleteGroup(name: GroupName): Promise<DeleteGroupAnswer>

  /**
   * Lists keys of which events wait for the first one, partition by partition.
   * @param limit max keys, 1 to 1,000. Errors: `not_found` (topic or group).
   */
  heldKeys(name: GroupName, limit: number): Promise<HeldKeys>

  /**
   * Lets the first event of a key go, which a worker then gets, or gives up. Durable when the promise resolves.
   * Errors: `not_found` (topic or group, or nothing waits under this key), `failed_precondition` (a worker has the event).
   */
  releaseKey(name: GroupName, key: string, action: ReleaseAction): Promise<void>
}
