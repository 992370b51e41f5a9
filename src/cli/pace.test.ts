import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { dueAtMs, eventsDue, keptRate } from './pace.ts'

const rates = fc.double({ min: 0.01, max: 1e6, noNaN: true })

test('an event is due at its time, and not before', () => {
  fc.assert(
    fc.property(rates, fc.nat(1_000_000), (rate, index) => {
      const dueMs = dueAtMs(index, rate)
      assert.ok(eventsDue(dueMs * (1 + 1e-9) + 1e-6, rate) > index)
      assert.ok(index === 0 || eventsDue(dueMs * (1 - 1e-9) - 1e-6, rate) <= index)
    }),
  )
})

test('events are never due early, and missed ones stay due', () => {
  assert.equal(eventsDue(0, 1000), 1)
  assert.equal(eventsDue(999.5, 1000), 1000)
  assert.equal(eventsDue(60_000, 20_000), 1_200_001)
})

test('a rate counts as kept within one percent', () => {
  assert.equal(keptRate(10_001, 1000, 10_000), true)
  assert.equal(keptRate(100_001, 10_100, 10_000), true)
  assert.equal(keptRate(100_001, 10_200, 10_000), false)
  assert.equal(keptRate(1, 5, 0.5), true)
})
