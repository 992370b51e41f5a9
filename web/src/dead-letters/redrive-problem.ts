import type { RedriveAnswer } from '../api.ts'

/** Why one letter was not redriven to a good end; null when nothing is known against it. */
export function redriveProblem({ stopped, skipped, redriven }: RedriveAnswer): Error | null {
  if (stopped !== null) return new Error(`Sent again, but ${stopped}`)
  if (redriven === 0 || skipped > 0) {
    return new Error('It cannot be sent again: its topic or group no longer exists, or its deadline has passed.')
  }
  return null
}
