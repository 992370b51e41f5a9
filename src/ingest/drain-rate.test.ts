import assert from 'node:assert/strict'
import { test } from 'node:test'
import { DrainRate } from './drain-rate.ts'

const backlog = (settledEvents: number) => ({ group: 'landing', waitingEvents: 0, waitingBytes: 0, settledEvents })

test('the hint is the time in which the excess drains at the observed rate', () => {
  const rate = new DrainRate()
  assert.equal(rate.hintMs(backlog(1000), 500, 0), 1000, 'the rate is unknown yet')
  assert.equal(rate.hintMs(backlog(2000), 500, 1000), 500)
  assert.equal(rate.hintMs(backlog(2000), 2000, 1001), 2000, 'a sample too close to the last one is ignored')
  assert.equal(rate.hintMs(backlog(5000), 10, 2000), 100, 'never less than 100 ms')
  assert.equal(rate.hintMs(backlog(5000), 10, 3000), 30_000, 'nothing moves')
  assert.equal(rate.hintMs(backlog(9000), 10, 60_000), 1000, 'an old sample is discarded')
})
