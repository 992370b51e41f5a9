// Drives long work of the server by repeated calls.

import { toMillraceError } from '../errors.ts'
import { Interruption } from './interruption.ts'

export interface RepeatedCalls {
  /** The signal that interrupted the work, or null. */
  readonly signal: NodeJS.Signals | null
  /** The error of the last call, or null. Earlier calls took effect. */
  readonly failure: unknown
  /** Whether the outcome of the last call is unknown. */
  readonly isCutOff: boolean
}

/**
 * Calls until an answer has no next cursor; each call works for some seconds. After SIGINT or SIGTERM the call in flight
 * has 2 s to finish.
 */
export async function repeatCalls(
  call: (cursor: string | undefined, signal: AbortSignal) => Promise<{ readonly nextCursor: string | null }>,
): Promise<RepeatedCalls> {
  const interruption = new Interruption()
  try {
    let cursor: string | null | undefined
    while (cursor !== null && interruption.received === null) {
      cursor = (await call(cursor, interruption.deadline)).nextCursor
    }
    return { signal: interruption.received, failure: null, isCutOff: false }
  } catch (thrown) {
    const { code, retryable } = toMillraceError(thrown)
    const isCancelled = interruption.received !== null && code === 'cancelled'
    return {
      signal: interruption.received,
      failure: isCancelled ? null : thrown,
      isCutOff: retryable || code === 'internal',
    }
  } finally {
    interruption.close()
  }
}
