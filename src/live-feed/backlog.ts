// What waits for one subscriber, as the subscriber sees it. Two kinds: its part of the list that all with its filter share
// (event-list.ts), and a ring of its own for the latest event of each key (latest-ring.ts).
//
// It stands before the write on purpose: what has been handed to a connection can no longer be dropped.

import type { GapReason } from '../pipeline/live.ts'
import type { BufferedEvent } from './live-event.ts'

export interface BacklogBounds {
  readonly maxEvents: number
  /** A single event may have more. */
  readonly maxBytes: number
}

/** Events that the log itself does not have any more, between those before it and after it. `from` and `to` are cursors. */
export interface LogGap {
  /** How many that the subscriber wants; null when it is not known. */
  readonly dropped: number | null
  readonly reason: GapReason
  readonly from: string
  readonly to: string
}

/** Events that the subscriber was too slow for, before what is taken next. */
export interface Dropped {
  /** Null when gaps of unknown size were among them. */
  readonly dropped: number | null
  /** The cursor behind the last one. */
  readonly to: string
  /** Whether events that were before it still wait. */
  readonly isBetween: boolean
}

export interface EventsTaken {
  readonly events: readonly BufferedEvent[]
  /** The same for all who take the same events; null: not shared. */
  readonly sharedBy: object | null
}

export type Taken = EventsTaken | Dropped | LogGap

export interface Backlog {
  readonly events: number
  readonly bytes: number
  /** How many were dropped that `take` has not told yet. */
  readonly droppedEvents: number | null
  /** Whether `take` has nothing. */
  readonly isEmpty: boolean
  /** The oldest event that waits. */
  first(): BufferedEvent | null
  /** What comes next, of events so many that they have `maxBytes` together, at least one. */
  take(maxBytes: number): Taken | null
  /** Frees what waits. */
  close(): void
}
