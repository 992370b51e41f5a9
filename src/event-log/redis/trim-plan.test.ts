import assert from 'node:assert/strict'
import { test } from 'node:test'
import { RedisKeys } from './redis-keys.ts'
import { TrimPlan } from './trim-plan.ts'

const partition = new RedisKeys('millrace').partition('orders', 0)
const policy = { keepSinceMs: 1_000, maxBytes: 500 }

test('a partition is looked at again when the policy lets go of something, or something was done there', () => {
  const plan = new TrimPlan()
  assert.equal(plan.isTime(partition, policy), true, 'nobody has looked')
  plan.begin(partition, policy)(2_000_000)
  assert.equal(plan.isTime(partition, policy), false)
  assert.equal(plan.isTime(partition, { ...policy, keepSinceMs: 2_000 }), false, 'what is kept is not older')
  assert.equal(plan.isTime(partition, { ...policy, keepSinceMs: 2_001 }), true)
  assert.equal(plan.isTime(partition, { ...policy, maxBytes: 499 }), true)
  plan.touched(partition)
  assert.equal(plan.isTime(partition, policy), true)
})

test('what is settled during a look, and a look that failed, are not passed over', () => {
  const plan = new TrimPlan()
  const looked = plan.begin(partition, policy)
  assert.equal(plan.isTime(partition, policy), true, 'it has not ended')
  plan.touched(partition)
  looked(Number.POSITIVE_INFINITY)
  assert.equal(plan.isTime(partition, policy), true)
})
