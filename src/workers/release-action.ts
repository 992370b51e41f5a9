// How the log is told what a person does with the first event of a key: by the number of its attempts.

import type { ReleaseAction } from '../pipeline/administration.ts'

/** An event with more attempts than this has been skipped. */
export const skippedAttempts = 1_000_000

/** The attempts that the event has had after an action, for EventLog.release. */
export function attemptAfter(action: ReleaseAction, attempt: number): number | null {
  if (action === 'retry') return null
  return action === 'release' ? 0 : skippedAttempts + (attempt % skippedAttempts)
}
