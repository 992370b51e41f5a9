// What a subscriber asks for, checked: each error names the field and what it takes.

import { MillraceError } from '../errors.ts'
import { parseRfc3339 } from '../lib/rfc3339.ts'
import { type LiveQuery, maxBufferedEvents, maxFilterTextBytes, maxFilterValues } from '../pipeline/live.ts'

const idPattern = /^[A-Za-z0-9._-]{1,64}$/

/** Where a subscription begins. */
export type Start =
  | { readonly is: 'now' | 'earliest' }
  | { readonly is: 'since'; readonly ms: number }
  | { readonly is: 'cursor'; readonly token: string }

/** Errors: `invalid_event` that names the field. Not checked here: the topic, the globs of types, and a cursor. */
export function checkQuery(query: LiveQuery): void {
  const { subscriberId, types, sources, subjects, attributes, maxBufferedEvents: buffered } = query
  if (subscriberId !== '' && !idPattern.test(subscriberId))
    throw refusal('subscriber_id', 'takes 1 to 64 characters of A-Z a-z 0-9 . _ -')
  checkTexts('types', types)
  checkTexts('sources', sources)
  checkTexts('subjects', subjects)
  checkTexts('attributes', [...attributes.keys(), ...attributes.values()], maxFilterValues * 2)
  if (attributes.has('')) throw refusal('attributes', 'has an empty name')
  if (buffered !== null && !(Number.isInteger(buffered) && buffered >= 1 && buffered <= maxBufferedEvents))
    throw refusal('max_buffered_events', `is ${buffered}; it must be a whole number from 1 to ${maxBufferedEvents}`)
}

/** @param nowMs in milliseconds since 1970. Errors: `invalid_event` (field `from`): a time that is wrong, or to come. */
export function startOf(from: string, nowMs: number): Start {
  if (from === '' || from === 'now') return { is: 'now' }
  if (from === 'earliest') return { is: 'earliest' }
  // No cursor has a colon, and every time has.
  if (!from.includes(':')) return { is: 'cursor', token: from }
  const micros = parseRfc3339(from)
  if (typeof micros === 'string') throw refusal('from', micros)
  const ms = Math.floor(Number(micros) / 1000)
  if (ms > nowMs) throw refusal('from', 'is a time to come: leave it out for what is accepted from now on')
  return { is: 'since', ms }
}

function checkTexts(field: string, texts: readonly string[], most = maxFilterValues): void {
  if (texts.length > most) throw refusal(field, `has more than ${maxFilterValues} values`)
  for (const text of texts) {
    const bytes = Buffer.byteLength(text)
    if (bytes > maxFilterTextBytes) throw refusal(field, `has a text of ${bytes} bytes; it takes ${maxFilterTextBytes}`)
  }
}

function refusal(field: string, problem: string): MillraceError {
  return new MillraceError('invalid_event', `${field} ${problem}`, { field })
}
