import assert from 'node:assert/strict'
import { test } from 'node:test'
import { RedisKeys } from './redis-keys.ts'
import { TrimPlan } from './trim-plan.ts'

const partition = new RedisKeys('millrace').partition('orders', 0)
const policy = { keepSinceMs: 1_000, maxBytes: 500 }

test('a partition is scanned again when the policy keeps less, or when it was touched', () => {
  const plan = new TrimPlan()
  assert.equal(plan.isDue(partition, policy), true, 'no scan yet')
  plan.begin(partition, policy)(2_000_000)
  assert.equal(plan.isDue(partition, policy), false)
  assert.equal(
    plan.isDue(partition, { ...policy, keepSinceMs: 2_000 }),
    false,
    'the oldest kept entry is not older than that',
  )
  assert.equal(plan.isDue(partition, { ...policy, keepSinceMs: 2_001 }), true)
  assert.equal(plan.isDue(partition, { ...policy, maxBytes: 499 }), true)
  plan.touched(partition)
  assert.equal(plan.isDue(partition, policy), true)
})

test('a partition that is touched during a scan, or whose scan failed, is scanned again', () => {
  const plan = new TrimPlan()
  const finishScan = plan.begin(partition, policy)
  assert.equal(plan.isDue(partition, policy), true, 'the scan has not ended')
  plan.touched(partition)
  finishScan(Number.POSITIVE_INFINITY)
  assert.equal(plan.isDue(partition, policy), true)
})
