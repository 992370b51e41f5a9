import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createGrant, everything } from '../access/grant.ts'
import { Access } from './access.ts'
import { MemoryPipeline } from './memory-pipeline.test-support.ts'
import { needOf } from './scopes.ts'

test('a call that is not in the table of scopes is a defect, which keeps the server from starting', () => {
  assert.throws(() => needOf('GET /v1/new'), /GET \/v1\/new has no scope/)
  assert.equal(needOf('HEAD /v1/events'), 'read')
})

test('callers of a server without keys may do everything, and open calls look at no key', () => {
  const pipeline = new MemoryPipeline()
  assert.deepEqual(new Access(pipeline, false).authorize('Bearer wrong', 'admin'), { grant: everything, pipeline })
  assert.deepEqual(new Access(pipeline, true).authorize('Bearer wrong', 'open'), { grant: everything, pipeline })
})

test('a key has one pipeline, so that its rate holds for all its calls together', async () => {
  const parts = { keyId: 'a', name: 'a', scopes: ['read'] as const, topics: null, types: null, expiresAtMs: null }
  const grant = createGrant({ ...parts, ratePerSecond: 1 })
  const pipeline = new MemoryPipeline()
  pipeline.keys = { ...pipeline.keys, check: (text) => (text === 'right' ? grant : null) }
  const access = new Access(pipeline, true)

  assert.equal(access.authorize('Bearer right', 'read'), access.authorize('bearer  right ', 'any'))
  assert.throws(() => access.authorize('Bearer right', 'publish'), { code: 'permission_denied', field: 'scope' })
  assert.throws(() => access.authorize('Bearer wrong', 'read'), { code: 'unauthenticated' })
  for (const none of [undefined, '', 'Bearer ', 'Basic right', 'Bearer right right'])
    assert.throws(() => access.authorize(none, 'read'), { code: 'unauthenticated', field: 'authorization' })
  await assert.rejects(async () => await access.authorize('Bearer mrt_wrong', 'read'), { code: 'unauthenticated' })
})
