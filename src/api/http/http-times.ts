/** Timeouts of the parts of a request, in milliseconds. */
export interface HttpTimes {
  /** For the headers of a request; for the first request, counted from the start of the connection. */
  readonly maxHeadersMs: number
  /** For a whole body that has a size limit. */
  readonly maxBodyMs: number
  /** Between two chunks of a body without a size limit, and of a page that is sent. */
  readonly maxIdleMs: number
  /** For the answer of the pipeline. */
  readonly maxAnswerMs: number
  /** For the rest of a body that has been answered already. */
  readonly maxLingerMs: number
  /** On a stream of the live feed; then a comment is sent. */
  readonly maxSilenceMs: number
  /** Between two answers to someone who watches the status. */
  readonly statusEveryMs: number
  /** Interval at which the timeout of headers is checked. */
  readonly checkEveryMs: number
}

export const defaultTimes: HttpTimes = {
  maxHeadersMs: 10_000,
  maxBodyMs: 60_000,
  maxIdleMs: 30_000,
  maxAnswerMs: 30_000,
  maxLingerMs: 2_000,
  maxSilenceMs: 15_000,
  statusEveryMs: 1_000,
  checkEveryMs: 2_000,
}
