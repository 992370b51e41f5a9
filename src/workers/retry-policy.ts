// Decides what follows when a handler has thrown. Pure: clock and randomness are arguments.

import type { MillraceError } from '../errors.ts'
import { type BackoffPolicy, backoffMs } from '../lib/backoff.ts'

/** An outage is tried again after at most this long, so that the group goes on soon after it has ended. */
export const outageBackoff: BackoffPolicy = { baseMs: 100, maxMs: 30_000 }

/** How often a failure is probed that no waiting will cure: somebody has to act. */
export const alarmProbeMs = 10_000

export interface RetryDecision {
  /** `outage` passes by itself; `alarm` needs a person. */
  readonly kind: 'outage' | 'alarm'
  readonly retryInMs: number
}

/**
 * @param failures how many times in a row the handler has failed, 1 or more.
 * @param random 0 <= random < 1.
 */
export function decideRetry(error: MillraceError, failures: number, random: number): RetryDecision {
  if (!error.retryable) return { kind: 'alarm', retryInMs: alarmProbeMs }
  return { kind: 'outage', retryInMs: backoffMs(failures, outageBackoff, random) }
}
