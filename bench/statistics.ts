// The result of several rounds: the median of the rounds' ratios and its confidence interval.

const resamples = 2000

export interface Estimate {
  readonly median: number
  /** The bootstrap 95 % interval of the median. A claim uses the lower bound. */
  readonly low: number
  readonly high: number
}

export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b)
  const middle = Math.floor(sorted.length / 2)
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2
}

/** The smallest value that at least this share of the values does not exceed; NaN without values. */
export function quantile(values: readonly number[], share: number): number {
  return values.toSorted((a, b) => a - b)[Math.max(0, Math.ceil(values.length * share) - 1)] ?? Number.NaN
}

/**
 * The median with its bootstrap interval: the values are resampled with replacement, and the interval is the middle 95 %
 * of the medians of the samples. With one value the interval is that value; null without values.
 * @param random returns numbers from 0 to 1, excluding 1.
 */
export function estimate(values: readonly number[], random: () => number = seededRandom(1)): Estimate | null {
  if (values.length === 0) return null
  const medians = Array.from({ length: resamples }, () =>
    median(values.map(() => values[Math.floor(random() * values.length)]!)),
  ).sort((a, b) => a - b)
  return {
    median: median(values),
    low: medians[Math.floor(resamples * 0.025)]!,
    high: medians[Math.ceil(resamples * 0.975) - 1]!,
  }
}

/** Mulberry32: deterministic, so that the same values give the same interval. */
function seededRandom(seed: number): () => number {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}
