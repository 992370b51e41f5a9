// Decides how a turn is retried after its handler has thrown. Pure: randomness is an argument.

import type { MillraceError } from '../errors.ts'
import { type BackoffPolicy, backoffMs } from '../lib/backoff.ts'

/** Backoff during an outage; short enough that the group resumes soon after its end. */
export const outageBackoff: BackoffPolicy = { baseMs: 100, maxMs: 5000 }

/** Retry interval of a failure that does not pass by itself: an operator must act. */
export const alarmProbeMs = 10_000

export interface RetryDecision {
  /** `backoff`: the failure passes by itself. `alarm`: an operator must act. */
  readonly kind: 'backoff' | 'alarm'
  readonly retryInMs: number
}

/**
 * Decides by the error's class. Outages and overload are waited out. Bugs and data errors are an alarm: failures of
 * single events are returned as outcomes, so a data error that is thrown concerns the whole batch, and an operator must
 * fix the cause.
 * @param failures how many times in a row the handler has failed, 1 or more.
 * @param random 0 <= random < 1.
 */
export function decideRetry(error: MillraceError, failures: number, random: number): RetryDecision {
  switch (error.class) {
    case 'outage':
    case 'overload':
      return { kind: 'backoff', retryInMs: backoffMs(failures, outageBackoff, random) }
    case 'data':
    case 'bug':
      return { kind: 'alarm', retryInMs: alarmProbeMs }
  }
}

/**
 * How long an event waits for its next attempt: the first delay, doubled for each further attempt, with half of it at
 * random, so that events that failed together are not tried together.
 * @param attempt how many attempts have failed, 1 or more.
 * @param random 0 <= random < 1.
 */
export function delayOfAttempt(
  attempt: number,
  { initialDelayMs, maxDelayMs }: { readonly initialDelayMs: number; readonly maxDelayMs: number },
  random: number,
): number {
  const delayMs = Math.min(maxDelayMs, initialDelayMs * 2 ** Math.min(attempt - 1, 50))
  return Math.ceil(delayMs / 2 + (delayMs / 2) * random)
}
