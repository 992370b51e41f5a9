// Long work of the server, asked for call by call.

import { toMillraceError } from '../errors.ts'
import { Interruption } from './interruption.ts'

export interface RepeatedCalls {
  /** What ended it before the end, or null. */
  readonly signal: NodeJS.Signals | null
  /** Why a call failed, or null. Earlier ones count all the same. */
  readonly failure: unknown
  /** Whether nobody knows what the last call has done. */
  readonly isCutOff: boolean
}

/**
 * Calls until an answer says that nothing is left, each for some seconds. Ctrl-C and SIGTERM let the one that is under way
 * finish within 2 s.
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
