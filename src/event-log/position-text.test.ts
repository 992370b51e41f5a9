import assert from 'node:assert/strict'
import { test } from 'node:test'
import { formatPosition, parsePosition } from './position-text.ts'

test('a formatted position parses to the same position, and other texts do not parse', () => {
  const position = { stream: { topic: 'events', partition: 3, lane: 'low' }, epoch: 2, offset: 1700 } as const
  assert.equal(formatPosition(position), 'events/3/low@2:1700')
  assert.deepEqual(parsePosition('events/3/low@2:1700'), position)
  for (const text of [
    '',
    'events/3/low@2',
    'events/3/middle@2:1',
    'events/-1/low@2:1',
    '/3/low@2:1',
    'events/3/low@2:1x',
  ]) {
    assert.equal(parsePosition(text), null, text)
  }
})
