// What a person does with a key whose first event is held, or waits for its next attempt.

/**
 * - `retry`: one more attempt now.
 * - `release`: all its attempts again, the first one now.
 * - `skip`: it becomes a dead letter, and its key goes on.
 */
export const releaseActions = ['retry', 'release', 'skip'] as const

export type ReleaseAction = (typeof releaseActions)[number]

/** An event with more attempts than this has been skipped. */
export const skippedAttempts = 1_000_000

/** The attempts that the event has had after an action, for EventLog.release. */
export function attemptAfter(action: ReleaseAction, attempt: number): number | null {
  if (action === 'retry') return null
  return action === 'release' ? 0 : skippedAttempts + (attempt % skippedAttempts)
}
