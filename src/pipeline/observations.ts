// What a watcher wants to know beside the status. A part of what Millrace can tell (pipeline.ts).
//
// Totals count from the start of the server that tells them, and only what it has done itself: two of them give a rate.
// Null is what is not known, or not this server's work; it is never 0 instead.

import type { Lane } from '../event/event.ts'

export interface Observations {
  /** When the totals were read, in seconds since that start. */
  readonly atSeconds: number
  /** Null when this server takes no events. */
  readonly published: PublishedTotals | null
  /** Null when this server lands none. */
  readonly landing: LandingTotals | null
  readonly log: LogObservation
  /** A few seconds old at most; null when the database did not answer in time. */
  readonly store: StoreObservation | null
}

export interface LogObservation {
  /** What it takes: the memory of Redis, or the bytes of its files. */
  readonly usedBytes: number | null
  /** How much it may take; null when nothing bounds it, too. */
  readonly limitBytes: number | null
  /** Why no events can be taken now; null when they can. */
  readonly problem: string | null
  /** What was detected of its own persistence: `aof-always`. */
  readonly persistence: string
}

export interface PublishedTotals {
  readonly received: number
  readonly accepted: number
  readonly rejected: number
  readonly dropped: number
  readonly acceptedByLane: Readonly<Record<Lane, number>>
}

export interface LandingTotals {
  readonly rows: number
  /** Events whose row was there already. */
  readonly duplicates: number
  /** Those of them that had other content. */
  readonly conflicts: number
  /** How many batches were landed, and how long that took together. */
  readonly batches: number
  readonly seconds: number
  /** How many batches took how long, shortest first. */
  readonly durations: readonly DurationBucket[]
}

export interface DurationBucket {
  /** Longer than the bucket before, and at most this; null: without a bound. */
  readonly upToSeconds: number | null
  readonly batches: number
}

/** From one answer of a watch to the next, in milliseconds. */
export const watchIntervalMs = { min: 200, max: 60_000, default: 1000 } as const

/** Of the newest events so many are looked at. */
export const maxRecentEvents = 1000

/** The most frequent types among them. */
export const maxRecentTypes = 10

/** Of the newest dead letters so many are counted. */
export const maxCountedDeadLetters = 10_000

export interface StoreObservation {
  /** The table of events with its indexes; the files of an embedded store. */
  readonly eventsBytes: number | null
  readonly deadLetters: DeadLetterCount | null
  /** Rows near the table's end count as the newest. */
  readonly recent: RecentEvents | null
  /** What the database itself has counted of landing; null where it does not count. */
  readonly statements: LandingStatements | null
}

/** Of the newest `maxCountedDeadLetters`. */
export interface DeadLetterCount {
  /** Those that wait for a person: never sent again since they died. */
  readonly open: number
  readonly redriven: number
  /** Whether there are older ones, which were not counted. */
  readonly more: boolean
}

export interface RecentEvents {
  /** How many were looked at, `maxRecentEvents` at most. */
  readonly events: number
  /** The most frequent first, `maxRecentTypes` at most. */
  readonly types: readonly TypeCount[]
}

export interface TypeCount {
  readonly type: string
  readonly events: number
}

export interface LandingStatements {
  readonly calls: number
  readonly meanSeconds: number
  readonly rows: number
}
