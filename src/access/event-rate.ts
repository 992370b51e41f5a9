// How many events per second a key may publish.
//
// A message is taken whole when everything that was taken before is paid for, and delays the next one by its events. So a message
// may have more events than a second allows, none is cut, and over a while the rate is exact.

/** Time without events that counts for the next ones: what the event loop may be late by. */
const maxSavedMs = 100

export class EventRate {
  readonly #msPerEvent: number
  /** A monotonic clock, in milliseconds. */
  readonly #now: () => number
  /** From then on the events that were taken are paid for. */
  #paidAtMs: number

  constructor(eventsPerSecond: number, now: () => number) {
    this.#msPerEvent = 1000 / eventsPerSecond
    this.#now = now
    this.#paidAtMs = now()
  }

  /** Takes so many events, if they can be taken within `maxWaitMs`. Returns in how many milliseconds they can be. */
  take(events: number, maxWaitMs: number): number {
    const nowMs = this.#now()
    const fromMs = Math.max(this.#paidAtMs, nowMs - maxSavedMs)
    const waitMs = Math.max(0, fromMs - nowMs)
    if (waitMs <= maxWaitMs) this.#paidAtMs = fromMs + events * this.#msPerEvent
    return waitMs
  }
}
