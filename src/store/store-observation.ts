// What a watcher wants to know of the database. All of it is bounded and cheap; what is not known is null.

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
