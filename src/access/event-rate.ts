// How many events per second a key may publish.
//
// A message is taken whole when everything that was taken before is paid for, and delays the next one by its events. So a message
// may have more events than a second allows, none is cut, and over a while the rate is exact.

/** Time without events counts for the next ones up to this. */
const maxIdleMs = 100
/** Up to this where a message was refused within it: then it passed because the event loop was busy, or the sender asked late. */
const maxLateMs = 1000

export interface RateState {
  readonly eventsPerSecond: number
  /** How many of them this second still has room for. */
  readonly left: number
  /** When nothing is to be paid for any more, in milliseconds from now. */
  readonly fullInMs: number
}

export class EventRate {
  readonly #msPerEvent: number
  /** A monotonic clock, in milliseconds. */
  readonly #now: () => number
  /** From then on the events that were taken are paid for. */
  #paidAtMs: number
  #refusedAtMs = Number.NEGATIVE_INFINITY

  constructor(eventsPerSecond: number, now: () => number) {
    this.#msPerEvent = 1000 / eventsPerSecond
    this.#now = now
    this.#paidAtMs = now()
  }

  /** What is left now. It takes nothing. */
  state(): RateState {
    const fullInMs = Math.max(0, this.#paidAtMs - this.#now())
    const eventsPerSecond = Math.round(1000 / this.#msPerEvent)
    return { eventsPerSecond, left: Math.max(0, Math.floor(eventsPerSecond - fullInMs / this.#msPerEvent)), fullInMs }
  }

  /** Takes so many events, if they can be taken within `maxWaitMs`. Returns in how many milliseconds they can be. */
  take(events: number, maxWaitMs: number): number {
    const nowMs = this.#now()
    const savedMs = nowMs - this.#refusedAtMs < maxLateMs ? maxLateMs : maxIdleMs
    const fromMs = Math.max(this.#paidAtMs, nowMs - savedMs)
    const waitMs = Math.max(0, fromMs - nowMs)
    if (waitMs > maxWaitMs) this.#refusedAtMs = nowMs
    else this.#paidAtMs = fromMs + events * this.#msPerEvent
    return waitMs
  }
}
