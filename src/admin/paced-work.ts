// Limits one call that sends many events: how long it runs, and how many events it sends per second.

import { MillraceError } from '../errors.ts'
import { sleep } from '../lib/abort.ts'
import { maxWorkMs, rateLimits } from '../pipeline/administration.ts'

export interface PacedWorkOptions {
  /** Events per second. */
  readonly rate: number
  /** A monotonic clock, in milliseconds. */
  readonly monotonicNow: () => number
  readonly signal: AbortSignal | undefined
}

export class PacedWork {
  readonly #options: PacedWorkOptions
  readonly #startedAtMs: number
  #events = 0

  /** Throws `invalid_event` when the rate is out of range. */
  constructor(options: PacedWorkOptions) {
    checkRate(options.rate)
    this.#options = options
    this.#startedAtMs = options.monotonicNow()
  }

  /** How many events may be sent together without running far ahead of the rate. */
  get maxStep(): number {
    return this.#options.rate
  }

  /** Whether the call must return: its time is up, or the caller has aborted it. */
  get isOver(): boolean {
    const { monotonicNow, signal } = this.#options
    return signal?.aborted === true || monotonicNow() - this.#startedAtMs >= maxWorkMs
  }

  /** Counts this many events as sent and waits until the next ones are due. */
  async sent(events: number): Promise<void> {
    const { rate, monotonicNow, signal } = this.#options
    this.#events += events
    const waitMs = this.#startedAtMs + (this.#events * 1000) / rate - monotonicNow()
    if (waitMs > 0) await sleep(waitMs, signal)
  }

  /** Waits without counting any events as sent. */
  async pause(ms: number): Promise<void> {
    await sleep(ms, this.#options.signal)
  }
}

/** Throws `invalid_event` when the rate is out of range. */
export function checkRate(rate: number): void {
  const { min, max } = rateLimits
  if (Number.isInteger(rate) && rate >= min && rate <= max) return
  const problem = `rate is ${rate}; it must be a whole number from ${min} to ${max}, in events per second`
  throw new MillraceError('invalid_event', problem, { field: 'rate' })
}
