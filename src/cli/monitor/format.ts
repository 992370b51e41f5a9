// How the monitor writes figures. What is not known is said so.

import type { StoreObservation } from '../../pipeline/observations.ts'
import { formatCount } from '../table.ts'

/** Without an oldest event either nothing waits, or it is not known. */
export function noneOr(waiting: number | null): string {
  return waiting === 0 ? '–' : 'unknown'
}

/** `1,200/s`; what is slower than ten in a second with its tenths. */
export function formatRate(rate: number | null): string {
  return rate === null ? 'unknown' : `${formatNumber(rate)}/s`
}

/** As formatRate, where the unit is said elsewhere. */
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
