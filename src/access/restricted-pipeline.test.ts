import assert from 'node:assert/strict'
import { test } from 'node:test'
import { MemoryPipeline } from '../api/memory-pipeline.test-support.ts'
import { MillraceError } from '../errors.ts'
import { encodeBatch } from '../event/record-batch.ts'
import type { Grant } from '../pipeline/keys.ts'
import type { Live, LiveQuery, SubscriberStatus } from '../pipeline/live.ts'
import type { Overflow } from '../pipeline/pipeline.ts'
import type { WorkJoin } from '../pipeline/work.ts'
import { createGrant } from './grant.ts'
import { restrictLive } from './restricted-live.ts'
import { restrict } from './restricted-pipeline.ts'
import { restrictJoin } from './restricted-work.ts'

function grantFor(limits: Partial<Pick<Grant, 'topics' | 'types' | 'ratePerSecond'>>): Grant {
  const unlimited = { topics: null, types: null, ratePerSecond: null, expiresAtMs: null }
  return createGrant({ keyId: 'a', name: 'shop', scopes: ['publish'], ...unlimited, ...limits })
}

function messageOf(overflow: Overflow, ...ids: string[]) {
  const event = { source: '/', type: 'a', data: new Uint8Array(0), dataContentType: '', attributes: [] }
  return { topic: 'events', overflow, message: encodeBatch(ids.map((id) => ({ ...event, id }))) }
}

test('messages that come faster than the rate are rejected or dropped, or wait and keep their order', async () => {
  const memory = new MemoryPipeline()
  const pipeline = restrict(memory, grantFor({ ratePerSecond: 100 }), () => 0)

  const [first, rejected, dropped] = await Promise.all([
    pipeline.publish(messageOf('reject', '1', '2', '3', '4', '5')),
    pipeline.publish(messageOf('reject', '6', '7')),
    pipeline.publish(messageOf('drop', '8')),
  ])
  let waits = 0
  const waiting = await Promise.all(
    ['9', '10', '11'].map((id) => pipeline.publish(messageOf('wait', id), { onWait: () => waits++ })),
  )
  const tooLong = await pipeline.publish(messageOf('wait', '12'), { maxWaitMs: 1 })

  assert.equal(first.accepted, 5)
  assert.deepEqual(
    rejected.rejections.map(({ index, count, id, code, retryAfterMs }) => [
      index,
      count,
      id,
      code,
      (retryAfterMs ?? 0) > 0,
    ]),
    [[0, 2, '', 'backlogged', true]],
  )
  assert.deepEqual([dropped.accepted, dropped.dropped], [0, 1])
  assert.deepEqual([waits, waiting.map(({ accepted }) => accepted)], [3, [1, 1, 1]])
  assert.equal(tooLong.rejections[0]?.code, 'backlogged')
  assert.deepEqual(
    memory.events.map(({ id }) => id),
    ['1', '2', '3', '4', '5', '9', '10', '11'],
  )
})

test('a topic outside and one that is not declared have the same answer, which names no topic that there is', async () => {
  const pipeline = restrict(new MemoryPipeline(), grantFor({ topics: ['events', 'unknown'] }))
  const answers = await Promise.all(
    ['orders', 'unknown'].map((topic) =>
      pipeline.publish({ ...messageOf('reject', '1'), topic }).catch((thrown: MillraceError) => thrown),
    ),
  )
  for (const [index, topic] of ['orders', 'unknown'].entries()) {
    const error = answers[index] as MillraceError
    assert.deepEqual([error.code, error.field, error.message], ['not_found', 'topic', `there is no topic "${topic}"`])
  }
})

test('a worker and a subscriber get the types that they ask for and the key is for', async () => {
  const grant = grantFor({ topics: ['events'], types: ['order.*'] })
  const joins: WorkJoin[] = []
  const queries: LiveQuery[] = []
  const end = new MillraceError('unavailable', 'no session')
  const work = async (join: WorkJoin): Promise<never> => {
    joins.push(join)
    throw end
  }
  const all: Live = {
    subscribe: async (query) => {
      queries.push(query)
      throw end
    },
    landedCursor: async () => 'cursor',
    subscribers: async () => ['events', 'orders'].map((topic) => ({ topic }) as SubscriberStatus),
  }
  const live = restrictLive(all, grant)
  const join = { request: '', topic: 'events', types: ['order.paid', 'user.**'] } as unknown as WorkJoin
  const query = { topic: 'events', types: [] as string[] } as unknown as LiveQuery

  await assert.rejects(restrictJoin(grant, join, work), end)
  await assert.rejects(live.subscribe(query), end)

  assert.deepEqual([joins[0]?.types, queries[0]?.types], [['order.paid'], ['order.*']])
  assert.equal(queries[0]?.caller, grant.keyId)
  await assert.rejects(restrictJoin(grant, { ...join, topic: 'orders' }, work), { code: 'not_found' })
  await assert.rejects(restrictJoin(grant, { ...join, request: 'a' }, work), { code: 'permission_denied' })
  await assert.rejects(live.subscribe({ ...query, types: ['user.*'] }), { code: 'permission_denied', field: 'types' })
  await assert.rejects(live.subscribe({ ...query, types: ['a*b'] }), { code: 'invalid_event', field: 'types' })
  await assert.rejects(live.subscribe({ ...query, topic: 'orders' }), { code: 'not_found', field: 'topic' })
  await assert.rejects(live.landedCursor('orders'), { code: 'not_found' })
  assert.deepEqual(await live.subscribers(), [])
  const seen = await restrictLive(all, grantFor({ topics: ['events'] })).subscribers()
  assert.deepEqual(
    seen.map(({ topic }) => topic),
    ['events'],
  )
})
