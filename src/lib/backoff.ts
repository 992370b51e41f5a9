// How long to wait before the next attempt.

export interface BackoffPolicy {
  readonly baseMs: number
  readonly maxMs: number
}

/**
 * Exponential backoff with full jitter: a random time up to `baseMs * 2^(attempt - 1)`, at most `maxMs`, so that
 * callers that failed together do not retry together.
 * @param attempt how many attempts have failed, 1 or more.
 * @param random 0 <= random < 1.
 */
export function backoffMs(attempt: number, policy: BackoffPolicy, random: number): number {
  const ceiling = Math.min(policy.maxMs, policy.baseMs * 2 ** Math.min(attempt - 1, 50))
  return Math.ceil(ceiling * random)
}
