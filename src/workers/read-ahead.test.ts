import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ReadAhead } from './read-ahead.ts'

test('as many events may wait as begin during a read, up to a bound', () => {
  const ahead = new ReadAhead()
  assert.equal(ahead.events(16), 0, 'nothing is known')
  for (let time = 0; time < 100; time++) ahead.noteRead(10)
  assert.equal(ahead.events(16), 0, 'no call is known')
  for (let time = 0; time < 100; time++) ahead.noteCall(2)
  assert.ok(Math.abs(ahead.events(16) - 80) <= 1, String(ahead.events(16)))
  for (let time = 0; time < 100; time++) ahead.noteCall(0)
  assert.equal(ahead.events(16), 1000)
})

test('calls of a few reads have some in hand, so that their places need not wait for a read', () => {
  const eventsFor = (callMs: number) => {
    const ahead = new ReadAhead()
    for (let time = 0; time < 100; time++) ahead.noteRead(10)
    ahead.noteCall(callMs)
    return ahead.events(100)
  }
  assert.deepEqual([20, 79, 81].map(eventsFor), [49, 12, 0])
})

test('a handler with a slow call has none, until it was quick for long', () => {
  const ahead = new ReadAhead()
  for (let time = 0; time < 100; time++) ahead.noteRead(10)
  for (let time = 0; time < 100; time++) ahead.noteCall(1)
  ahead.noteCall(500)
  assert.equal(ahead.events(16), 0)
  for (let time = 0; time < 4; time++) ahead.noteCall(1)
  assert.equal(ahead.events(16), 0)
  for (let time = 0; time < 100; time++) ahead.noteCall(1)
  assert.ok(ahead.events(16) > 100)
})
