// The time and the speed of one call that sends many events: it ends after a while, and keeps to a rate.

import { MillraceError } from '../errors.ts'
import { sleep } from '../lib/abort.ts'
import { maxWorkMs, rateLimits } from '../pipeline/administration.ts'

export interface PacedWorkOptions {
  /** Events per second. */
  readonly rate: number
  /** A clock that only goes forward, in milliseconds. */
  readonly monotonicNow: () => number
  readonly signal: AbortSignal | undefined
}

export class PacedWork {
  readonly #options: PacedWorkOptions
  readonly #startedAtMs: number
  #events = 0

  /** Throws `invalid_event` about a rate that is out of its limits. */
  constructor(options: PacedWorkOptions) {
    const { min, max } = rateLimits
    const { rate } = options
    if (!Number.isInteger(rate) || rate < min || rate > max) {
      const problem = `rate is ${rate}; it takes ${min} to ${max} events per second`
      throw new MillraceError('invalid_event', problem, { field: 'rate' })
    }
    this.#options = options
    this.#startedAtMs = options.monotonicNow()
  }

  /** How many events may go at once without running far ahead of the rate. */
  get maxStep(): number {
    return this.#options.rate
  }

  /** Whether the call has to answer: its time is over, or nobody waits for it any more. */
  get isOver(): boolean {
    const { monotonicNow, signal } = this.#options
    return signal?.aborted === true || monotonicNow() - this.#startedAtMs >= maxWorkMs
  }

  /** Notes that so many events were sent, and waits until the next ones are due. */
  async sent(events: number): Promise<void> {
    const { rate, monotonicNow, signal } = this.#options
    this.#events += events
    const waitMs = this.#startedAtMs + (this.#events * 1000) / rate - monotonicNow()
    if (waitMs > 0) await sleep(waitMs, signal)
  }

  /** Waits without counting it as work. */
  async pause(ms: number): Promise<void> {
    await sleep(ms, this.#options.signal)
  }
}
