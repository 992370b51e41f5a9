// Works out when it makes sense to try again: how much must go before there is room, and how fast it goes.

import type { Backlog } from '../event-log/event-log.ts'

/** What a caller is told while nothing is known about the speed yet. */
const unknownRateHintMs = 1000
const minHintMs = 100
const maxHintMs = 30_000
/** Samples closer together than this say little about the speed. */
const minSampleMs = 200
/** After this long without a sample the old speed says nothing any more. */
const maxSampleAgeMs = 10_000

interface Sample {
  readonly atMs: number
  readonly settledEvents: number
}

/** Watches how fast one group settles, from the backlogs that refused appends report. */
export class DrainRate {
  #last: Sample | null = null
  #eventsPerMs: number | null = null

  /**
   * @param backlog what the refused append reported.
   * @param excessEvents how many events must be settled before the append finds room.
   * @param nowMs a clock that only goes forward.
   * @returns after how many milliseconds to try again, 100 to 30,000.
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
