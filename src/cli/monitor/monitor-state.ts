// What the monitor knows at a moment: the latest look at the server, rates, their past, warnings, and whether it is away.

import type { Observed } from '../../pipeline/pipeline.ts'
import { type Rates, ratesOf, unknownRates } from './rates.ts'
import { type Warning, warningsOf } from './warnings.ts'

/** How many looks back the sparklines reach. */
const maxPast = 200

const shownRates = ['accepted', 'landed', 'rejected', 'dead'] as const
export type ShownRate = (typeof shownRates)[number]

export interface Away {
  /** When the server was last heard, or the monitor began, in milliseconds since 1970. */
  readonly sinceMs: number
  readonly reason: string
}

export class MonitorState {
  /** The latest look, however old; null before the first. */
  observed: Observed | null = null
  rates: Rates = unknownRates
  warnings: readonly Warning[] = []
  away: Away | null = null
  readonly past: Readonly<Record<ShownRate, (number | null)[]>> = { accepted: [], landed: [], rejected: [], dead: [] }
  /** An earlier look at the same run of the same server, from which rates are reckoned. */
  #base: Observed | null = null
  #heardAtMs: number

  constructor(nowMs: number) {
    this.#heardAtMs = nowMs
  }

  hear(observed: Observed, nowMs: number): void {
    const isBack = this.away !== null
    this.#heardAtMs = nowMs
    this.away = null
    const { uptimeSeconds } = observed.status
    const last = isBack ? null : this.observed
    // Several looks may be at one status, for it is kept for half a second: then the rates stay as they are.
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

  lose(reason: string): void {
    this.away = { sinceMs: this.#heardAtMs, reason }
    this.rates = unknownRates
    this.warnings = []
  }
}
