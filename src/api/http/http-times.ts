/** How long a part of a request may take, in milliseconds. */
export interface HttpTimes {
  /** For the headers of a request, counted from the connection for the first one. */
  readonly maxHeadersMs: number
  /** For a whole body, where bodies have a bound. */
  readonly maxBodyMs: number
  /** Between two pieces of a body without a bound. */
  readonly maxIdleMs: number
  /** For the pipeline to answer. */
  readonly maxAnswerMs: number
  /** To finish sending a body that has been answered already. */
  readonly maxLingerMs: number
  readonly checkEveryMs: number
}

export const defaultTimes: HttpTimes = {
  maxHeadersMs: 10_000,
  maxBodyMs: 60_000,
  maxIdleMs: 30_000,
  maxAnswerMs: 30_000,
  maxLingerMs: 2_000,
  checkEveryMs: 2_000,
}
