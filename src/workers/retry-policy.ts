// Decides what follows when a handler has thrown. Pure: clock and randomness are arguments.

import type { MillraceError } from '../errors.ts'
import { type BackoffPolicy, backoffMs } from '../lib/backoff.ts'

/** An outage is tried again after at most this long, so that the group goes on soon after it has ended. */
export const outageBackoff: BackoffPolicy = { baseMs: 100, maxMs: 5000 }

/** How often a failure is probed that no waiting will cure: somebody has to act. */
export const alarmProbeMs = 10_000

export interface RetryDecision {
  /** `backoff`: it passes by itself. `alarm`: it needs a person. */
  readonly kind: 'backoff' | 'alarm'
  readonly retryInMs: number
}

/**
 * By the error's class: outages and overload are waited out. A bug is not cured by waiting, and neither is a handler that
 * throws what is wrong with data: single events belong into its outcomes, so it is the whole batch that meets a state that
 * somebody must change.
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
