// The last quarter of an hour of a process, second by second. Part of the Pipeline contract (pipeline.ts).

/** How many seconds are kept. */
export const maxHistorySeconds = 900

/** Null: not known, or not this process's work. */
export type SecondValues = readonly (number | null)[]

/** One value of each series for each second, oldest first. All but `waiting` are the work of the answering process alone. */
export interface StatusHistory {
  /** When each second ended, in seconds since 1970. */
  readonly seconds: readonly number[]
  readonly accepted: SecondValues
  readonly rejected: SecondValues
  readonly landed: SecondValues
  readonly dead: SecondValues
  /** Events that wait in the whole log, once for each group; known for some of the seconds. */
  readonly waiting: SecondValues
  /** The time to land a batch, in seconds; null also when none has landed. */
  readonly landingP50Seconds: SecondValues
  readonly landingP99Seconds: SecondValues
}
