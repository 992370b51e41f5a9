// Durations as readable text.

import type { GroupStatus } from '../pipeline/pipeline.ts'

export function formatSeconds(seconds: number): string {
  if (seconds < 120) return `${seconds.toFixed(1)} s`
  if (seconds < 7200) return `${Math.floor(seconds / 60)} min`
  return `${Math.floor(seconds / 3600)} h`
}

/** Age of the oldest waiting event: `–` when nothing waits, `unknown` when it is not known. */
export function formatOldest({
  waiting,
  oldestWaitingSeconds,
}: Pick<GroupStatus, 'waiting' | 'oldestWaitingSeconds'>): string {
  if (oldestWaitingSeconds !== null) return formatSeconds(oldestWaitingSeconds)
  return waiting === 0 ? '–' : 'unknown'
}
