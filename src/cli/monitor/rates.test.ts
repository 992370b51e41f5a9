import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { quantile } from '../../pipeline/quantile.ts'
import { observedWith } from './observed.test-support.ts'
import { groupKey, ratesOf, unknownRates } from './rates.ts'

const noTotals = { received: 0, dropped: 0, acceptedByLane: { high: 0, normal: 0, low: 0 } }

test('a rate is the change between two observations per second', () => {
  const before = observedWith({
    uptimeSeconds: 10,
    ledger: { accepted: 100, landed: 90, dead: 1 },
    group: { waiting: 9 },
  })
  const now = observedWith({
    uptimeSeconds: 12,
    ledger: { accepted: 700, landed: 500, dead: 2 },
    group: { waiting: 198 },
  })

  const { accepted, landed, dead, groups } = ratesOf(before, now)

  assert.deepEqual([accepted, landed, dead], [300, 205, 0.5])
  assert.deepEqual(groups.get(groupKey('events', 'landing')), { landed: 205, growth: 94.5 })
})

test('a topic accepts an event once, however many groups it has; the topic of the dead letters does not count', () => {
  const row = (topic: string, group: string, accepted: number, landed: number) => {
    return { topic, group, accepted, reopened: 0, waiting: 0, landed, dead: 0, lost: 0, balanced: true }
  }
  const rows = (count: number) => [
    row('events', 'landing', count, count),
    row('events', 'mailer', count, count / 2),
    row('orders', 'landing', count * 2, count),
    row('_dead', 'dead', count * 5, count * 5),
  ]
  const before = observedWith({ uptimeSeconds: 1, status: { ledger: rows(0) } })
  const now = observedWith({ uptimeSeconds: 2, status: { ledger: rows(100) } })

  const { accepted, landed, groups } = ratesOf(before, now)

  assert.deepEqual([accepted, landed], [300, 200])
  assert.equal(groups.get(groupKey('events', 'mailer'))?.landed, 50)
  assert.equal(groups.get(groupKey('_dead', 'dead'))?.landed, 500)
})

test('without an earlier observation, or when a total has fallen, the rate is unknown', () => {
  assert.deepEqual(ratesOf(null, observedWith()), unknownRates)
  const before = observedWith({ uptimeSeconds: 1, ledger: { accepted: 5, landed: 5 } })
  const reset = observedWith({ uptimeSeconds: 2, ledger: { accepted: 1, landed: 5, dead: null } })

  const { accepted, landed, dead } = ratesOf(before, reset)

  assert.deepEqual([accepted, landed, dead], [null, 0, null])
  assert.equal(ratesOf(before, observedWith({ uptimeSeconds: 1, ledger: { accepted: 9 } })).accepted, null)
})

test('rates of what this server published and landed use the time of its observations', () => {
  const totals = (rejected: number, low: number) => {
    return { ...noTotals, accepted: low, rejected, acceptedByLane: { high: 0, normal: 0, low } }
  }
  const durations = (counts: readonly number[]) =>
    [1, 3, null].map((upToSeconds, index) => ({ upToSeconds, batches: counts[index]! }))
  const landing = { rows: 100, duplicates: 2, conflicts: 0, batches: 5, seconds: 1, durations: durations([5, 0, 0]) }
  const more = { rows: 900, duplicates: 5, conflicts: 1, batches: 15, seconds: 2, durations: durations([5, 10, 0]) }
  const before = observedWith({ observations: { atSeconds: 10, published: totals(1, 10), landing } })
  const now = observedWith({ observations: { atSeconds: 15, published: totals(11, 60), landing: more } })

  const rates = ratesOf(before, now)

  assert.equal(rates.rejected, 2)
  assert.deepEqual(rates.acceptedByLane, { high: 0, normal: 0, low: 10 })
  assert.deepEqual(
    { ...rates.landing, p99Seconds: null },
    { batchesPerSecond: 2, rowsPerBatch: 80, p50Seconds: 2, p99Seconds: null, duplicates: 3, conflicts: 1 },
  )
  const elsewhere = observedWith({ observations: { atSeconds: 15, published: null, landing: null } })
  assert.deepEqual([ratesOf(before, elsewhere).rejected, ratesOf(before, elsewhere).landing], [null, null])
})

test('without landed batches there are no rows per batch and no latency', () => {
  const { landing } = ratesOf(observedWith({ uptimeSeconds: 1 }), observedWith({ uptimeSeconds: 2 }))
  assert.deepEqual([landing?.batchesPerSecond, landing?.rowsPerBatch, landing?.p99Seconds], [0, null, null])
})

test('a quantile lies in its bucket', () => {
  const bounds = [0.001, 0.01, 0.1, 1]
  const seconds = fc.array(fc.double({ min: 0, max: 3, noNaN: true }), { minLength: 1, maxLength: 40 })
  fc.assert(
    fc.property(seconds, fc.constantFrom(0.5, 0.9, 0.99), (values, share) => {
      const buckets = [...bounds, null].map((upToSeconds, index) => {
        const [lower, upper] = [index === 0 ? -1 : bounds[index - 1]!, upToSeconds ?? Infinity]
        return { upToSeconds, batches: values.filter((value) => value > lower && value <= upper).length }
      })
      const exact = values.toSorted((a, b) => a - b)[Math.ceil(share * values.length) - 1]!
      const [lower, upper] = [bounds.findLast((bound) => bound < exact) ?? 0, bounds.find((bound) => bound >= exact)]

      const found = quantile(buckets, share)!

      assert.ok(found >= lower && found <= (upper ?? 1), `${found} is not from ${lower} to ${upper}`)
    }),
  )
  assert.equal(quantile([{ upToSeconds: null, batches: 0 }], 0.5), null)
})
