import assert from 'node:assert/strict'
import { test } from 'node:test'
import { DeliveryTimes } from './delivery-times.ts'

const to = { topic: 'events', group: 'mailer' }
const event = (id: string) => ({ source: '/shop', id })

function timesWithClock(maxDeliveries: number) {
  let nowMs = 1000
  const times = new DeliveryTimes(() => nowMs++, maxDeliveries)
  const begin = (id: string, attempt = 1) => times.begin({ to, event: event(id), attempt, handedOutAtMs: 900 })
  return { times, begin }
}

test('the deliveries of an event are found with the times that they have so far', () => {
  const { times, begin } = timesWithClock(10)
  const first = begin('a')
  const none = { endedAtMs: null, settledAtMs: null, failure: null }
  assert.deepEqual(times.of(event('a')), [{ ...to, attempt: 1, handedOutAtMs: 900, begunAtMs: 1000, ...none }])
  times.end(first, { is: 'failed', code: 'internal', message: 'no address', afterMs: null })
  times.settle([first])
  begin('b')
  times.settle([begin('a', 2)])
  const [failed, second] = times.of(event('a'))
  assert.partialDeepStrictEqual(failed, { endedAtMs: 1001, settledAtMs: 1002 })
  assert.deepEqual(failed?.failure, { code: 'internal', message: 'no address' })
  assert.partialDeepStrictEqual(second, { attempt: 2, begunAtMs: 1004, endedAtMs: null, settledAtMs: 1005 })
  assert.deepEqual(times.of({ source: '/other', id: 'a' }), [])
})

test('the last deliveries are kept, and one that was forgotten changes no other', () => {
  const { times, begin } = timesWithClock(3)
  const [forgotten] = ['a', 'b', 'c', 'd'].map((id) => begin(id))
  times.end(forgotten!, { is: 'dead', code: 'invalid_event', message: 'x'.repeat(1000) })
  times.settle([forgotten!])
  assert.deepEqual(times.of(event('a')), [])
  for (const id of ['b', 'c', 'd']) {
    assert.partialDeepStrictEqual(times.of(event(id)), [{ endedAtMs: null, settledAtMs: null, failure: null }], id)
  }
  const last = begin('e')
  times.end(last, { is: 'dead', code: 'invalid_event', message: 'x'.repeat(1000) })
  assert.equal(times.of(event('e'))[0]?.failure?.message.length, 300)
})
