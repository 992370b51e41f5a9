import assert from 'node:assert/strict'
import { test } from 'node:test'
import { EventRate } from './event-rate.ts'

/** Events per second that a sender gets which asks for ten times the rate; each second its loop stalls for a while. */
function rateOf(perSecond: number, eventsPerMessage: number, stallMs: number): number {
  let nowMs = 0
  const rate = new EventRate(perSecond, () => nowMs)
  let taken = 0
  let stalledAtMs = 0
  while (nowMs < 20_000) {
    if (rate.take(eventsPerMessage, 0) === 0) taken += eventsPerMessage
    nowMs += (eventsPerMessage * 100) / perSecond
    if (nowMs - stalledAtMs < 1000) continue
    nowMs += stallMs
    stalledAtMs = nowMs
  }
  return (taken / nowMs) * 1000
}

test('a sender that has more gets the rate within 1 %, with small and large messages, and a loop that stalls', () => {
  for (const perSecond of [10, 500, 20_000]) {
    for (const events of [1, 7, 100]) {
      for (const stallMs of [0, 400]) {
        const error = rateOf(perSecond, events, stallMs) / perSecond - 1
        // The last message is taken whole, and may be taken shortly before the end.
        const ofLastMessage = events / (perSecond * 20)
        assert.ok(Math.abs(error) < 0.01 + ofLastMessage, `${perSecond} ${events} ${stallMs}: ${error}`)
      }
    }
  }
})

test('a pause counts for the next events up to 100 ms, and a message that may wait is told how long', () => {
  let nowMs = 0
  const rate = new EventRate(100, () => nowMs)
  assert.equal(rate.take(10, 0), 0)
  nowMs = 60_000
  for (let taken = 0; taken < 11; taken++) assert.equal(rate.take(1, 0), 0)
  assert.equal(rate.take(1, 5), 10)
  assert.equal(rate.take(5, 10), 10)
  assert.equal(rate.take(1, 1000), 60)
})
