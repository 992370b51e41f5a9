import assert from 'node:assert/strict'
import { test } from 'node:test'
import { MillraceError } from '../errors.ts'
import { FailingStreams } from './failing-streams.ts'

const broken = new MillraceError('unavailable', 'no answer', { cause: new Error('WRONGTYPE') })

test('a failing stream is named until appends to it have succeeded for 10 s, or none was tried for a minute', () => {
  const streams = new FailingStreams()
  assert.equal(streams.problem(0), null)
  streams.worked('events/0/high')
  streams.failed('events/0/high', broken, 0)
  streams.failed('events/0/low', broken, 0)
  streams.worked('events/0/high')
  const both = 'publishes fail to events/0/high: no answer (WRONGTYPE); events/0/low: no answer (WRONGTYPE)'
  assert.deepEqual(streams.problem(10_000), { reason: 'unavailable', message: both })
  assert.match(streams.problem(10_001)!.message, /^publishes fail to events\/0\/low: /)
  assert.equal(streams.problem(60_001), null)
})

test('the newest failures come first, three streams are named and the others counted', () => {
  const streams = new FailingStreams()
  for (let number = 1; number <= 5; number++) {
    streams.failed(`events/${number}/low`, new MillraceError(number === 5 ? 'disk_full' : 'backlogged', 'full'), number)
  }
  const message = 'publishes fail to events/5/low: full; events/4/low: full; events/3/low: full; 2 more'
  assert.deepEqual(streams.problem(6), { reason: 'disk_full', message })
})

test('what only one call did wrong is no failure of the stream', () => {
  const streams = new FailingStreams()
  for (const code of ['out_of_range', 'cancelled', 'draining'] as const) {
    streams.failed('events/0/low', new MillraceError(code, 'no'), 0)
  }
  assert.equal(streams.problem(0), null)
})
