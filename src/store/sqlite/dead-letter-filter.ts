// The WHERE condition of the statements that search dead letters.
//
// It contains only the given conditions: `? IS NULL OR …` for every column would prevent SQLite from using its indexes.

import type { SQLInputValue } from 'node:sqlite'
import type { StoredDeadLetterQuery } from '../dead-letter.ts'
import { hexArray } from './hex-array.ts'

export type Filter = Pick<
  StoredDeadLetterQuery,
  'deadLetterIds' | 'eventIds' | 'topic' | 'group' | 'type' | 'code' | 'sinceMicros' | 'untilMicros' | 'isRedriven'
>

const conditions: Readonly<Record<keyof Filter, string>> = {
  deadLetterIds: 'dead_letter_id IN (SELECT unhex(value) FROM json_each($deadLetterIds))',
  eventIds: 'event_id IN (SELECT unhex(value) FROM json_each($eventIds))',
  topic: 'topic = $topic',
  group: '"group" = $group',
  type: 'type = $type',
  code: 'code = $code',
  sinceMicros: 'dead_at >= $sinceMicros',
  untilMicros: 'dead_at < $untilMicros',
  isRedriven: '(redriven_at IS NOT NULL) = $isRedriven',
}

export interface Condition {
  readonly sql: string
  readonly parameters: Record<string, SQLInputValue>
}

export function conditionOf(filter: Filter): Condition {
  const parts: string[] = []
  const parameters: Record<string, SQLInputValue> = {}
  for (const [name, condition] of Object.entries(conditions)) {
    const value = filter[name as keyof Filter]
    if (value === undefined) continue
    parts.push(condition)
    parameters[name] = typeof value === 'boolean' ? Number(value) : typeof value === 'object' ? hexArray(value) : value
  }
  return { sql: parts.length === 0 ? 'true' : parts.join(' AND '), parameters }
}
