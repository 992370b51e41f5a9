import assert from 'node:assert/strict'
import { test } from 'node:test'
import { MillraceError } from '../errors.ts'
import { checkEventInput } from './check-event-input.ts'

test('an event with every field of its kind is returned as it is', () => {
  const texts = { id: 'a', source: '/s', type: 't', subject: 'b', dataContentType: 'text/plain', key: 'k' }
  for (const more of [
    { timeMicros: 5, lane: 'high', attributes: new Map([['a', 'b']]) },
    { timeMicros: 5n, lane: 'low', attributes: Object.entries({ a: 'b' }) },
    { timeMicros: null, data: { any: 1 } },
  ]) {
    const event = { ...texts, ...more }
    assert.equal(checkEventInput(event), event)
  }
})

test('a field that no event has, or of another kind, is refused with its name and what it must be', () => {
  const wrong: [field: string | undefined, event: unknown, must: RegExp][] = [
    [undefined, null, /must be an object with a type/],
    [undefined, 'order.paid', /must be an object with a type/],
    ['type', {}, /^type is missing$/],
    ['type', { type: 5 }, /must be a text/],
    ['key', { type: 'a', key: null }, /must be a text/],
    ['priority', { type: 'a', priority: 'high' }, /is not a field of an event to publish: those are id, .*lane/],
    ['lane', { type: 'a', lane: 'urgent' }, /must be one of high, normal, low/],
    ['timeMicros', { type: 'a', timeMicros: 1.5 }, /whole number/],
    ['timeMicros', { type: 'a', timeMicros: new Date() }, /whole number/],
    ['attributes', { type: 'a', attributes: { a: 'b' } }, /Object\.entries/],
    ['attributes', { type: 'a', attributes: [['a', 1]] }, /pairs of texts/],
  ]
  for (const [field, event, must] of wrong) {
    assert.throws(
      () => checkEventInput(event),
      (error) =>
        error instanceof MillraceError &&
        error.code === 'invalid_event' &&
        error.field === field &&
        must.test(error.message),
      JSON.stringify(event),
    )
  }
})
