// Checks a cursor that a reader of a topic gives.

import { MillraceError } from '../errors.ts'
import type { TopicCursor } from './tail.ts'

/** Errors: `invalid_event`. */
export function checkTopicCursor(topic: string, { epoch, offsets }: TopicCursor, streams: number): void {
  const isWhole = [epoch, ...offsets].every((number) => Number.isSafeInteger(number) && number >= 0)
  if (isWhole && offsets.length <= streams) return
  const found = isWhole ? `it has ${offsets.length} streams` : 'it has a number that is no offset'
  const text = `the cursor is not of topic "${topic}", which has ${streams} streams: ${found}; begin without a cursor`
  throw new MillraceError('invalid_event', text, { field: 'cursor' })
}
