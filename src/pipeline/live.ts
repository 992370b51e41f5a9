// The live feed: events as they are accepted, for subscribers that hold nothing back. A subscriber that falls behind loses
// its oldest events, is told how many, and can read them again from the cursor that it gets.

import type { MillraceError } from '../errors.ts'

export const defaultBufferedEvents = 50_000
export const maxBufferedEvents = 1_000_000
/** Max length of a glob, source, subject prefix, name or value of an attribute, in bytes. */
export const maxFilterTextBytes = 1024
/** Max number of globs, sources, subject prefixes and attributes of a subscriber, each. */
export const maxFilterValues = 100

/** What happens when a subscriber's buffer is full. Each says in a gap how many events were dropped. */
export const onSlowPolicies = [
  /** The oldest events are dropped. */
  'drop_oldest',
  /** Events that are not the latest one of their key are dropped, then the oldest. An event without a key has no later one. */
  'latest_per_key',
  /** The subscription ends as `backlogged`. */
  'disconnect',
] as const
export type OnSlow = (typeof onSlowPolicies)[number]

/** Filters: an event must match one value of each list that is not empty, and all attributes. */
export interface LiveQuery {
  /** Whose subscriber it is: ids of different callers do not meet. Default: everyone's. */
  readonly caller?: string
  /** 1 to 64 of [A-Za-z0-9._-]; '' to be assigned. A second subscription of a caller with an id ends the first. */
  readonly subscriberId: string
  readonly topic: string
  /** Globs of types, as of handlers: `order.*`, `order.**`. */
  readonly types: readonly string[]
  readonly sources: readonly string[]
  /** Prefixes of subjects. */
  readonly subjects: readonly string[]
  readonly attributes: ReadonlyMap<string, string>
  /** `now` (also ''), `earliest`, a cursor, or a time of receipt (RFC 3339). */
  readonly from: string
  /** 1 .. maxBufferedEvents; null: defaultBufferedEvents. */
  readonly maxBufferedEvents: number | null
  readonly onSlow: OnSlow
}

/** An event for all its subscribers. */
export interface LiveEvent {
  /** The encoded event, with its time of receipt: a millrace.v1.Event. */
  readonly bytes: Uint8Array
  /** Where a subscriber stands that has got this event, as one token. */
  readonly cursor: string
  /** What api/ makes of it for HTTP, made once for all subscribers. */
  text: string | null
}

export type GapReason =
  /** The subscriber was slower than the feed, and its buffer was full. */
  | 'slow'
  /** Retention has removed the events. */
  | 'trimmed'
  /** The log has lost events, or the cursor is not of this log: what is between is unknown. */
  | 'lost'

/** `cursor`: where a subscriber stands that has got the frame. */
export type LiveFrame =
  | {
      readonly is: 'events'
      readonly cursor: string
      readonly events: readonly LiveEvent[]
      /** Frames with the same key have the same events, whichever subscriber got them: api/ encodes such a frame once. Null: not shared. */
      readonly sharedBy: object | null
    }
  /**
   * Events that this subscriber does not get, before those of the next frame. `dropped`: how many of them its filters match;
   * null when that is unknown. `from` and `to` are cursors: a subscription from `from` reads again what the log still has.
   */
  | {
      readonly is: 'gap'
      readonly cursor: string
      readonly dropped: number | null
      readonly from: string
      readonly to: string
      readonly reason: GapReason
    }
  /** All that was accepted before the subscription began has been sent. Once. */
  | { readonly is: 'caught_up'; readonly cursor: string }
  /** Nothing that matches has come for a while: only the cursor has moved. */
  | { readonly is: 'progress'; readonly cursor: string }
  /** The last one: subscribe again, from the cursor, after so long. */
  | { readonly is: 'reconnect'; readonly cursor: string; readonly afterMs: number }

export interface LiveSubscription {
  readonly subscriberId: string
  /** Where it really begins. */
  readonly startCursor: string
  /**
   * The next frame, as soon as there is one: up to about 64 KiB of events, all that wait. One call at a time. Ask for the
   * next one when this one is written: what comes meanwhile waits in the bounded buffer.
   *
   * Null after the frame `reconnect`, and after `close`. Errors: `backlogged` (slow, and `disconnect` was asked for),
   * `cancelled` (another subscription took the id); those of the log while it reads what was before.
   */
  next(): Promise<LiveFrame | null>
  /** A last frame `reconnect` follows what waits: the connection has reached its age. */
  endSoon(): void
  /** Frees everything at once; then `next` throws the error. No effect on one that has ended. */
  end(error: MillraceError): void
  /** Frees everything at once. Idempotent. */
  close(): void
}

export interface SubscriberStatus {
  readonly subscriberId: string
  readonly topic: string
  /** Milliseconds since 1970. */
  readonly sinceMs: number
  /** False while it reads what was before it began. */
  readonly isLive: boolean
  /** Events of the topic between what it has got and the end of the feed, matching or not; null when unknown. */
  readonly lagEvents: number | null
  readonly bufferedEvents: number
  readonly bufferedBytes: number
  readonly sentEvents: number
  /** Null when the number of some of them is unknown. */
  readonly droppedEvents: number | null
}

export interface Live {
  /**
   * Begins to follow a topic. While the subscription lives, events sent and events dropped add up to the matching events
   * that were accepted since its start.
   *
   * Errors: `invalid_event` that names the field (a glob, a cursor of another topic, a time in the future, an id, a buffer
   * size), `not_found` (topic), `draining`, `unavailable`, `backlogged` (as many subscribers as the process takes).
   */
  subscribe(query: LiveQuery): Promise<LiveSubscription>

  /**
   * A cursor with which nothing is missed after what `listEvents` returns, if it is asked for before: some events may come
   * twice. Null when the log cannot say now. Errors: `not_found` (topic).
   */
  landedCursor(topic: string): Promise<string | null>

  /** Those of this process, by id. */
  subscribers(): Promise<readonly SubscriberStatus[]>
}
