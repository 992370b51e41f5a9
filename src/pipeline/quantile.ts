// Quantiles of the durations of landed batches.

import type { DurationBucket } from './observations.ts'

/**
 * The quantile of the batch durations, in seconds, interpolated linearly inside its bucket. Beyond the last bound it is
 * that bound. Null without batches.
 */
export function quantile(durations: readonly DurationBucket[], share: number): number | null {
  const all = durations.reduce((total, { batches }) => total + batches, 0)
  if (all === 0) return null
  let [below, lower] = [0, 0]
  for (const { upToSeconds, batches } of durations) {
    const upper = upToSeconds ?? lower
    if (batches > 0 && below + batches >= share * all) {
      return lower + (upper - lower) * Math.max(0, (share * all - below) / batches)
    }
    below += batches
    lower = upper
  }
  return lower
}
