import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createGrant } from '../../access/grant.ts'
import { Access } from '../access.ts'
import { MemoryPipeline } from '../memory-pipeline.test-support.ts'
import { ask, post, startTestServer } from './http-client.test-support.ts'

const parts = { keyId: 'a', name: 'a', topics: null, types: null, expiresAtMs: null }
const limited = createGrant({ ...parts, scopes: ['publish', 'read'], ratePerSecond: 10 })
const free = createGrant({ ...parts, scopes: ['publish'], ratePerSecond: null })

test('a key with a rate is told what is left of it, and when to come again', async (t) => {
  const pipeline = new MemoryPipeline()
  pipeline.keys = { ...pipeline.keys, check: (text) => (text === 'limited' ? limited : free) }
  const { url } = await startTestServer(t, { pipeline, access: new Access(pipeline, true) })
  const send = (key: string) =>
    post(
      url,
      Array.from({ length: 15 }, () => ({ type: 'a' })),
      '',
      { authorization: `Bearer ${key}` },
    )

  const first = await send('limited')
  const second = await send('limited')

  assert.equal(first.status, 202)
  assert.equal(first.headers.get('ratelimit-policy'), '"publish";q=10;w=1')
  assert.match(first.headers.get('ratelimit') ?? '', /^"publish";r=0;t=[12]$/)
  assert.equal(second.status, 429)
  const [, seconds] = /^"publish";r=0;t=(\d+)$/.exec(second.headers.get('ratelimit') ?? '') ?? []
  assert.ok(Number(second.headers.get('retry-after')) >= Number(seconds))
  assert.equal((await send('other')).headers.get('ratelimit'), null)
  const status = await ask(`${url}/v1/status`, { headers: { authorization: 'Bearer limited' } })
  assert.deepEqual([status.status, status.headers.get('ratelimit')], [200, null])
})
