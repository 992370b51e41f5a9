// Checks that what a program gives as an event to publish has the fields of one, each of its kind: it may be JavaScript.
//
// Not its job: their values (message-scan.ts).

import { MillraceError } from '../errors.ts'
import { lanes } from './event.ts'
import type { EventInput } from './event-input.ts'

const textFields = ['id', 'source', 'type', 'subject', 'dataContentType', 'key'] as const
const fields: ReadonlySet<string> = new Set([...textFields, 'timeMicros', 'data', 'lane', 'attributes'])

/** Returns the event. Errors: `invalid_event` that names the field and what it must be. */
export function checkEventInput(event: unknown): EventInput {
  const refuse = (field: string, must: string): never => {
    throw new MillraceError('invalid_event', `${field} ${must}`, { field })
  }
  if (typeof event !== 'object' || event === null) {
    throw new MillraceError('invalid_event', 'an event must be an object with a type')
  }
  const given = event as { readonly [Field in keyof EventInput]: unknown }
  for (const name of Object.keys(event))
    if (!fields.has(name)) refuse(name, `is not a field of an event to publish: those are ${[...fields].join(', ')}`)
  for (const name of textFields)
    if (given[name] !== undefined && typeof given[name] !== 'string') refuse(name, 'must be a text')
  const { type, timeMicros, lane, attributes } = given
  if (type === undefined) refuse('type', 'is missing')
  if (timeMicros !== undefined && timeMicros !== null && !isWhole(timeMicros))
    refuse('timeMicros', 'must be a whole number of microseconds since 1970')
  if (lane !== undefined && !lanes.some((each) => each === lane)) refuse('lane', `must be one of ${lanes.join(', ')}`)
  if (attributes !== undefined && !areTextPairs(attributes))
    refuse('attributes', 'must be pairs of texts: a Map, or Object.entries() of an object')
  return event as EventInput
}

function isWhole(value: unknown): boolean {
  return typeof value === 'bigint' || Number.isSafeInteger(value)
}

function areTextPairs(value: unknown): boolean {
  if (typeof value !== 'object' || value === null || !(Symbol.iterator in value)) return false
  const isPair = (each: unknown) =>
    Array.isArray(each) && each.length === 2 && each.every((part) => typeof part === 'string')
  return [...(value as Iterable<unknown>)].every(isPair)
}
