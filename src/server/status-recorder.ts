// Keeps what happened in each of the last seconds, from the start of the process on.
//
// Job: read the totals of the process once a second, from memory. What waits is known to the log only, and to read it
// costs: it is taken from the readings that others ask for, and asked for when nobody has for 30 s (more often, an idle server
// would send Redis half as many commands again).
// Bound: seven numbers for each of 900 seconds, 50 KB.

import type { Observations } from '../pipeline/observations.ts'
import type { Status } from '../pipeline/pipeline.ts'
import { quantile } from '../pipeline/quantile.ts'
import { maxHistorySeconds, type SecondValues, type StatusHistory } from '../pipeline/status-history.ts'

const everyMs = 1000

/** How many seconds without a reading of the log are left out before one is asked for. */
const maxSecondsUnread = 30

export type Totals = Pick<Observations, 'published' | 'landing'> & { readonly dead: number }

export interface RecordedParts {
  /** Read from memory. */
  readonly totals: () => Totals
  /** The latest reading of the status that has ended, and when that was; null before the first. */
  readonly latest: () => { readonly status: Status; readonly endedAtMs: number } | null
  /** Begins a reading of the status. Its failure is told to others. */
  readonly read: () => Promise<unknown>
  /** The wall clock, in milliseconds since 1970. */
  readonly now: () => number
  /** A monotonic clock, in milliseconds. */
  readonly monotonicNow: () => number
}

const names = ['accepted', 'rejected', 'landed', 'dead', 'waiting', 'landingP50Seconds', 'landingP99Seconds'] as const
type Second = Readonly<Record<(typeof names)[number], number | null>>

export class StatusRecorder {
  readonly #parts: RecordedParts
  /** By series and by the number of the second, modulo the seconds that are kept; NaN where a value is not known. */
  readonly #series = new Map(names.map((name) => [name, new Float64Array(maxHistorySeconds).fill(Number.NaN)]))
  readonly #startedAtMs: number
  /** The number of the last second that was recorded, from 1. */
  #last = 0
  #before: Totals
  #seenAtMs = Number.NEGATIVE_INFINITY
  #unread = 0
  readonly #timer: NodeJS.Timeout

  constructor(parts: RecordedParts) {
    this.#parts = parts
    this.#startedAtMs = parts.monotonicNow()
    this.#before = parts.totals()
    this.#timer = setInterval(() => this.#record(), everyMs).unref()
  }

  history(): StatusHistory {
    const { now, monotonicNow } = this.#parts
    const sinceLastMs = monotonicNow() - this.#startedAtMs - this.#last * everyMs
    const lastSecond = Math.round((now() - sinceLastMs) / 1000)
    const count = Math.min(this.#last, maxHistorySeconds)
    const numbers = Array.from({ length: count }, (_, index) => this.#last - count + 1 + index)
    const valuesOf = (name: keyof Second): SecondValues => {
      const series = this.#series.get(name)!
      return numbers.map((number) => {
        const value = series[number % maxHistorySeconds]!
        return Number.isNaN(value) ? null : value
      })
    }
    const all = Object.fromEntries(names.map((name) => [name, valuesOf(name)])) as Record<keyof Second, SecondValues>
    return { seconds: numbers.map((number) => lastSecond - this.#last + number), ...all }
  }

  close(): void {
    clearInterval(this.#timer)
  }

  #record(): void {
    // To the nearest one: a timer that is a little early or late would miss a second.
    const number = Math.round((this.#parts.monotonicNow() - this.#startedAtMs) / everyMs)
    if (number <= this.#last) return
    // Seconds in which the process did not get to it are not known.
    for (let missed = Math.max(this.#last, number - maxHistorySeconds) + 1; missed < number; missed++)
      for (const series of this.#series.values()) series[missed % maxHistorySeconds] = Number.NaN
    const second = this.#second(number - this.#last === 1)
    for (const [name, series] of this.#series) series[number % maxHistorySeconds] = second[name] ?? Number.NaN
    this.#last = number
  }

  /** @param isWhole whether the totals of the second before are known. */
  #second(isWhole: boolean): Second {
    const [before, now] = [this.#before, this.#parts.totals()]
    this.#before = now
    const waiting = this.#waiting()
    const none = { accepted: null, rejected: null, landed: null, dead: null }
    if (!isWhole) return { ...none, waiting, landingP50Seconds: null, landingP99Seconds: null }
    const durations = now.landing?.durations.map((bucket, index) => ({
      ...bucket,
      batches: bucket.batches - (before.landing?.durations[index]?.batches ?? 0),
    }))
    return {
      accepted: difference(before.published?.accepted, now.published?.accepted),
      rejected: difference(before.published?.rejected, now.published?.rejected),
      landed: difference(landedIn(before), landedIn(now)),
      dead: now.dead - before.dead,
      waiting,
      landingP50Seconds: durations === undefined ? null : quantile(durations, 0.5),
      landingP99Seconds: durations === undefined ? null : quantile(durations, 0.99),
    }
  }

  #waiting(): number | null {
    const { latest, read } = this.#parts
    const reading = latest()
    if (reading === null || reading.endedAtMs === this.#seenAtMs) {
      if (++this.#unread >= maxSecondsUnread) {
        this.#unread = 0
        void read().catch(() => {})
      }
      return null
    }
    this.#seenAtMs = reading.endedAtMs
    this.#unread = 0
    const groups = reading.status.topics.flatMap((topic) => topic.groups)
    return groups.reduce<number | null>(
      (sum, { waiting }) => (sum === null || waiting === null ? null : sum + waiting),
      0,
    )
  }
}

/** As in the ledger: with those whose row existed already. */
function landedIn({ landing }: Totals): number | undefined {
  return landing === null ? undefined : landing.rows + landing.duplicates
}

function difference(before: number | undefined, now: number | undefined): number | null {
  return before === undefined || now === undefined ? null : now - before
}
