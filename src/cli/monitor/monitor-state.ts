// State of the monitor: the latest observation of the server, rates and their history, warnings, and any outage.

import type { Observed } from '../../pipeline/pipeline.ts'
import { type Rates, ratesOf, unknownRates } from './rates.ts'
import { type Warning, warningsOf } from './warnings.ts'

/** Length of the history behind the sparklines, in observations. */
const maxPast = 200

const shownRates = ['accepted', 'landed', 'rejected', 'dead'] as const
export type ShownRate = (typeof shownRates)[number]

export interface Outage {
  /** When the server last answered, else when the monitor began, in milliseconds since 1970. */
  readonly sinceMs: number
  readonly reason: string
}

export class MonitorState {
  /** The latest observation, however old; null before the first. */
  observed: Observed | null = null
  rates: Rates = unknownRates
  warnings: readonly Warning[] = []
  outage: Outage | null = null
  readonly past: Readonly<Record<ShownRate, (number | null)[]>> = { accepted: [], landed: [], rejected: [], dead: [] }
  /** An earlier observation of the same run of the same server, the base of the rates. */
  #base: Observed | null = null
  #answeredAtMs: number

  constructor(nowMs: number) {
    this.#answeredAtMs = nowMs
  }

  update(observed: Observed, nowMs: number): void {
    const isBack = this.outage !== null
    this.#answeredAtMs = nowMs
    this.outage = null
    const { uptimeSeconds } = observed.status
    const last = isBack ? null : this.observed
    // The server caches its status for half a second. The same status again leaves the rates unchanged.
    const isNew = last === null || last.status.uptimeSeconds !== uptimeSeconds
    if (isNew) this.#base = last !== null && last.status.uptimeSeconds < uptimeSeconds ? last : null
    this.observed = observed
    if (!isNew) return
    this.rates = ratesOf(this.#base, observed)
    this.warnings = warningsOf(this.#base, observed)
    for (const rate of shownRates) {
      this.past[rate].push(this.rates[rate])
      if (this.past[rate].length > maxPast) this.past[rate].shift()
    }
  }

  markUnreachable(reason: string): void {
    this.outage = { sinceMs: this.#answeredAtMs, reason }
    this.rates = unknownRates
    this.warnings = []
  }
}
