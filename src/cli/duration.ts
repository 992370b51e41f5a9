// Durations as readable text, and from the text of an option.

import type { GroupStatus } from '../pipeline/pipeline.ts'
import { UsageError } from './command.ts'

const secondsOfUnit: Readonly<Record<string, number>> = { s: 1, m: 60, h: 3600, d: 86_400 }

/** The seconds of `90s`, `10m`, `2h` or `30d`; null for undefined. Throws UsageError for anything else. */
export function secondsOf(option: string, text: string | undefined): number | null {
  if (text === undefined) return null
  const [, count, unit] = /^(\d{1,9})([smhd])$/.exec(text) ?? []
  if (count !== undefined && unit !== undefined) return Number(count) * secondsOfUnit[unit]!
  throw new UsageError(`${option} "${text}" must be a time such as 90s, 10m, 2h or 30d`)
}

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
