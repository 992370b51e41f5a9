// Parses the times of options such as --since.

import { parseRfc3339 } from '../lib/rfc3339.ts'
import { UsageError } from './command.ts'

const secondsOfUnit: Readonly<Record<string, number>> = { s: 1, m: 60, h: 3600, d: 86_400 }

/**
 * Microseconds since 1970 of an RFC 3339 time or of an age: `90s`, `10m`, `2h`, `3d`. Undefined for undefined.
 * Throws UsageError for anything else.
 */
export function momentOf(option: string, text: string | undefined, nowMs: number): number | undefined {
  if (text === undefined) return undefined
  const [, count, unit] = /^(\d{1,9})([smhd])$/.exec(text) ?? []
  if (count !== undefined && unit !== undefined) return (nowMs - Number(count) * secondsOfUnit[unit]! * 1000) * 1000
  const micros = parseRfc3339(text)
  if (typeof micros !== 'string') return Number(micros)
  throw new UsageError(`${option} "${text}" ${micros}; an age such as 90s, 10m, 2h or 3d is allowed too`)
}
