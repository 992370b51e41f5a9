// How long to wait before the next try.

export interface BackoffPolicy {
  readonly baseMs: number
  readonly maxMs: number
}

/**
 * Exponential backoff with full jitter: a random time up to `baseMs * 2^(attempt - 1)`, at most `maxMs`, so that those who
 * failed together do not come back together.
 * @param attempt how many tries have failed, 1 or more.
 * @param random 0 <= random < 1.
 */
export function backoffMs(attempt: number, policy: BackoffPolicy, random: number): number {
  const ceiling = Math.min(policy.maxMs, policy.baseMs * 2 ** Math.min(attempt - 1, 50))
  return Math.ceil(ceiling * random)
}
