// Computes the retry hint of a refused append: the excess of waiting events divided by the rate at which they are
// settled.

import type { Backlog } from '../event-log/event-log.ts'

/** The hint while the rate is unknown. */
const unknownRateHintMs = 1000
const minHintMs = 100
const maxHintMs = 30_000
/** Samples closer together than this are too inaccurate. */
const minSampleMs = 200
/** The rate is discarded after this long without a sample. */
const maxSampleAgeMs = 10_000

interface Sample {
  readonly atMs: number
  readonly settledEvents: number
}

/** Measures how fast one group settles, from the backlogs that refused appends report. */
export class DrainRate {
  #last: Sample | null = null
  #eventsPerMs: number | null = null

  /**
   * @param backlog what the refused append reported.
   * @param excessEvents how many events must be settled before the append finds room.
   * @param nowMs the time of a monotonic clock.
   * @returns after how many milliseconds to retry, 100 to 30,000.
   */
  hintMs(backlog: Backlog, excessEvents: number, nowMs: number): number {
    this.#observe({ atMs: nowMs, settledEvents: backlog.settledEvents })
    if (this.#eventsPerMs === null) return unknownRateHintMs
    if (this.#eventsPerMs === 0) return maxHintMs
    return Math.round(Math.min(maxHintMs, Math.max(minHintMs, excessEvents / this.#eventsPerMs)))
  }

  #observe(sample: Sample): void {
    const last = this.#last
    if (last === null || sample.settledEvents < last.settledEvents || sample.atMs - last.atMs > maxSampleAgeMs) {
      this.#last = sample
      this.#eventsPerMs = null
      return
    }
    if (sample.atMs - last.atMs < minSampleMs) return
    this.#eventsPerMs = (sample.settledEvents - last.settledEvents) / (sample.atMs - last.atMs)
    this.#last = sample
  }
}
