// Checks filters: refuses empty and impossible values, and limits times to what a database can store.

import { MillraceError } from '../errors.ts'
import { isUuid } from '../event/event.ts'
import { type DeadLetterFilter, maxDeadLetterIds } from '../pipeline/dead-letters.ts'
import type { EventStore } from '../store/event-store.ts'

/** Far later than any event, and still an exact integer. */
const maxMicros = Number.MAX_SAFE_INTEGER

/** Returns the filter with its times limited to what can be stored. Throws `invalid_event`, naming the field. */
export function checkedFilter<Filter extends DeadLetterFilter>(filter: Filter): Filter {
  const { deadLetterIds, sinceMicros, untilMicros } = filter
  if (deadLetterIds !== undefined) checkIds(deadLetterIds)
  for (const name of ['topic', 'group', 'type', 'code'] as const) checkText(name, filter[name])
  return { ...filter, sinceMicros: bounded('since', sinceMicros), untilMicros: bounded('until', untilMicros) }
}

/** Throws `invalid_event` for a text that no event can have. Undefined is allowed. */
export function checkText(name: string, text: string | undefined): void {
  if (text === '') throw wrong(name, `${name} is empty: leave it out, or give a value`)
  if (text?.includes('\0')) throw wrong(name, `${name} contains a NUL character: remove it`)
}

/** Throws `not_found` when the filter has an id that no dead letter has. */
export async function refuseMissing(store: EventStore, { deadLetterIds = [] }: DeadLetterFilter): Promise<void> {
  if (deadLetterIds.length === 0) return
  const { deadLetters } = await store.listDeadLetters({ deadLetterIds, limit: maxDeadLetterIds })
  const there = new Set(deadLetters.map(({ deadLetterId }) => deadLetterId))
  const missing = deadLetterIds.find((id) => !there.has(id.toLowerCase()))
  if (missing !== undefined) throw new MillraceError('not_found', `there is no dead letter ${missing}`)
}

function checkIds(ids: readonly string[]): void {
  if (ids.length === 0)
    throw wrong('dead_letter_ids', 'dead_letter_ids is empty: leave it out, or give at least one id')
  if (ids.length > maxDeadLetterIds) {
    throw wrong('dead_letter_ids', `dead_letter_ids has ${ids.length} ids; the limit is ${maxDeadLetterIds}`)
  }
  for (const id of ids) checkId(id)
}

/** Throws `invalid_event` for a text that cannot be the id of a dead letter. */
export function checkId(id: string): void {
  if (isUuid(id)) return
  const shown = JSON.stringify(id.slice(0, 80))
  throw wrong('dead_letter_id', `${shown} is not the id of a dead letter: it must be a UUID`)
}

function bounded(name: string, micros: number | undefined): number | undefined {
  if (micros === undefined) return undefined
  if (Number.isNaN(micros)) throw wrong(name, `${name} is not a time`)
  return Math.round(Math.min(Math.max(micros, -maxMicros), maxMicros))
}

function wrong(field: string, problem: string): MillraceError {
  return new MillraceError('invalid_event', problem, { field })
}
