// Formats the monitor's figures. A value that is not known is `unknown`.

import type { StoreObservation } from '../../pipeline/observations.ts'
import { formatCount } from '../table.ts'

/** The age of the oldest event when there is none: `–` when nothing waits, else `unknown`. */
export function noneOr(waiting: number | null): string {
  return waiting === 0 ? '–' : 'unknown'
}

/** `1,200/s`; with one decimal below 10/s. */
export function formatRate(rate: number | null): string {
  return rate === null ? 'unknown' : `${formatNumber(rate)}/s`
}

/** As formatRate, without the unit. */
export function formatNumber(rate: number | null): string {
  if (rate === null) return 'unknown'
  return rate > 0 && rate < 9.95 ? rate.toFixed(1) : formatCount(Math.round(rate))
}

export function formatDuration(seconds: number | null): string {
  if (seconds === null) return 'unknown'
  return seconds < 1 ? `${(seconds * 1000).toFixed(seconds < 0.01 ? 1 : 0)} ms` : `${seconds.toFixed(1)} s`
}

export function formatOpenLetters(store: StoreObservation | null): string {
  const letters = store?.deadLetters ?? null
  return letters === null ? 'unknown' : `${formatCount(letters.open)}${letters.more ? ' or more' : ''}`
}
