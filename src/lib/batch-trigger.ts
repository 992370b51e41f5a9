// Decides when a batch is full enough to go: at once after a quiet time, else when it is full or its time is over.
//
// Pure: it is told the time. So a lone event waits for nothing, and a steady flow goes in few, large batches.

export class BatchTrigger {
  readonly #maxEvents: number
  readonly #maxWaitMs: number
  #lastFlushAtMs = Number.NEGATIVE_INFINITY

  /**
   * @param maxEvents a batch of this size goes at once.
   * @param maxWaitMs a batch goes this long after the one before, whatever its size.
   */
  constructor(maxEvents: number, maxWaitMs: number) {
    this.#maxEvents = maxEvents
    this.#maxWaitMs = maxWaitMs
  }

  /** For how many milliseconds a batch of this size may still collect; 0 when it must go now. */
  remainingMs(events: number, nowMs: number): number {
    if (events >= this.#maxEvents) return 0
    return Math.max(0, this.#lastFlushAtMs + this.#maxWaitMs - nowMs)
  }

  /** To be called when a batch goes. */
  flushed(nowMs: number): void {
    this.#lastFlushAtMs = nowMs
  }
}
