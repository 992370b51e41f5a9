// Observations: what a watch reports in addition to the status. Part of the Pipeline contract (pipeline.ts).
//
// Totals count the work of the answering server alone, since it started; two readings give a rate. Null means unknown,
// or not this server's work; never 0.

import type { Lane } from '../event/event.ts'

export interface Observations {
  /** When the totals were read, in seconds since the server started. */
  readonly atSeconds: number
  /** Null when this server accepts no events. */
  readonly published: PublishedTotals | null
  /** Null when this server lands no events. */
  readonly landing: LandingTotals | null
  readonly log: LogObservation
  /** At most a few seconds old; null when the database did not answer in time. */
  readonly store: StoreObservation | null
}

export interface LogObservation {
  /** Memory used by Redis, or size of the log's files. */
  readonly usedBytes: number | null
  /** Limit of `usedBytes`; null also when there is none. */
  readonly limitBytes: number | null
  /** What keeps the log from working as it should; null when nothing does. */
  readonly problem: string | null
  /** The log's own persistence as detected, for example `aof-always`. */
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
  /** Events whose row existed already. */
  readonly duplicates: number
  /** Duplicates whose content differs from the row. */
  readonly conflicts: number
  /** Number of landed batches, and their total duration. */
  readonly batches: number
  readonly seconds: number
  /** Histogram of batch durations, shortest first. */
  readonly durations: readonly DurationBucket[]
}

export interface DurationBucket {
  /** Longer than the previous bucket's bound and at most this; null for no upper bound. */
  readonly upToSeconds: number | null
  readonly batches: number
}

/** Interval between two answers of a watch, in milliseconds. */
export const watchIntervalMs = { min: 200, max: 60_000, default: 1000 } as const

/** How many of the newest events are examined. */
export const maxRecentEvents = 1000

/** How many of their most frequent types are listed. */
export const maxRecentTypes = 10

/** How many of the newest dead letters are counted. */
export const maxCountedDeadLetters = 10_000

export interface StoreObservation {
  /** Size of the events table with its indexes; of the files for an embedded store. */
  readonly eventsBytes: number | null
  readonly deadLetters: DeadLetterCount | null
  /** Rows near the end of the table count as the newest. */
  readonly recent: RecentEvents | null
  /** The database's own statistics of the landing statements; null where it keeps none. */
  readonly statements: LandingStatements | null
}

/** Counts the newest `maxCountedDeadLetters` dead letters. */
export interface DeadLetterCount {
  /** Dead letters that were never redriven: they wait for an operator. */
  readonly open: number
  readonly redriven: number
  /** Whether there are older dead letters, which were not counted. */
  readonly more: boolean
}

export interface RecentEvents {
  /** How many events were examined, at most `maxRecentEvents`. */
  readonly events: number
  /** Most frequent first, at most `maxRecentTypes`. */
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
