// Decides when a batch is flushed: at once after an idle time, else when it is full or `maxWaitMs` after the last
// flush. So a single event does not wait, and a steady flow is flushed in few, large batches.
//
// Pure: the caller passes the time.

export class BatchTrigger {
  readonly #maxEvents: number
  readonly #maxWaitMs: number
  #lastFlushAtMs = Number.NEGATIVE_INFINITY

  /**
   * @param maxEvents a batch of this size is flushed at once.
   * @param maxWaitMs a batch is flushed this long after the previous one, whatever its size.
   */
  constructor(maxEvents: number, maxWaitMs: number) {
    this.#maxEvents = maxEvents
    this.#maxWaitMs = maxWaitMs
  }

  /** For how many more milliseconds a batch of this size may collect events; 0 if it must be flushed now. */
  remainingMs(events: number, nowMs: number): number {
    if (events >= this.#maxEvents) return 0
    return Math.max(0, this.#lastFlushAtMs + this.#maxWaitMs - nowMs)
  }

  /** Call it when a batch is flushed. */
  flushed(nowMs: number): void {
    this.#lastFlushAtMs = nowMs
  }
}
