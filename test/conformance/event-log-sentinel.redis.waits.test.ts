// The log on a master that Sentinels name, when the master dies and another one takes over.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { cleanup } from '../support/cleanup.ts'
import { eventually, within } from '../support/eventually.ts'
import { masterName } from '../support/redis-sentinel.ts'
import { batchOf, group, idsOf, landed, stream, takeAll, topic } from './event-log-verbs.ts'
import {
  assertNothingLost,
  assertOutages,
  isCode,
  openLog,
  produce,
  replicated,
  startSentinel,
  takeSoon,
} from './redis-failover-verbs.ts'

test('by Sentinels: kill -9 of the master loses nothing at replicated(1), and appends continue on the next master', async (t) => {
  const sentinel = await startSentinel(t)
  const eventLog = await openLog(t, sentinel.url, { durability: replicated, maxReplyMs: 2_000 })
  const producer = produce(eventLog)
  cleanup(t, () => producer.stop())
  await producer.more(20)
  await sentinel.master.stop('SIGKILL')
  await eventually(async () => assert.match(await sentinel.replica.command('ROLE'), /master/), { withinMs: 15_000 })
  // The new master has no replica yet, so no append is accepted until the old one has become its replica.
  await eventually(() => assert.ok(producer.failures.length > 0))
  await sentinel.master.start()
  await within(60_000, 'the recovery', producer.more(20))
  await producer.stop()
  assertOutages(producer.failures)
  await assertNothingLost(eventLog, producer.accepted)
})

test('by Sentinels: when the master becomes a replica, the next master is found within 10 s, and who waits for replies is told', async (t) => {
  const sentinel = await startSentinel(t)
  const eventLog = await openLog(t, sentinel.url)
  const heard: string[] = []
  let missed = 0
  await eventLog.replies.listen(topic, 'inbox-1', { onReply: (id) => heard.push(id), onMissed: () => missed++ })
  const producer = produce(eventLog)
  cleanup(t, () => producer.stop())
  await producer.more(5)
  assert.match(await sentinel.command('SENTINEL', 'FAILOVER', masterName), /OK/)
  await eventually(async () => assert.match(await sentinel.master.command('ROLE'), /slave/), { withinMs: 15_000 })
  await within(10_000, 'the recovery', producer.more(20))
  await producer.stop()
  const consumer = await eventLog.consume(topic, group, { leaseMs: 30_000 })
  assert.ok((await consumer.next(takeSoon)).length > 0)
  await eventually(() => assert.ok(missed > 0))
  await eventLog.append(stream(), [batchOf(['r'])], { once: { id: 'r', fingerprint: 'f', ttlMs: 600_000 } })
  const reply = { id: 'r', bytes: Buffer.from('x'), ttlMs: 600_000, inbox: 'inbox-1' }
  await consumer.settle((await takeAll(consumer)).map((delivery) => ({ ...landed(delivery), reply })))
  await eventually(() => assert.deepEqual(heard, ['r']))
})

test('by Sentinels: an append that the master refuses, because it is a replica now, is sent to the next master', async (t) => {
  const sentinel = await startSentinel(t)
  const eventLog = await openLog(t, sentinel.url)
  await eventLog.append(stream(), [batchOf(['before'])])
  // It keeps its connections, and the Sentinel notices the role after a second or two.
  assert.match(await sentinel.master.command('REPLICAOF', '127.0.0.1', '1'), /OK/)
  const startedAt = performance.now()
  const appended = await eventLog.append(stream(), [batchOf(['after'])])
  t.diagnostic(`appended after ${Math.round(performance.now() - startedAt)} ms`)
  assert.equal(appended.positions.length, 1)
  assert.match(await sentinel.replica.command('ROLE'), /master/)
  const consumer = await eventLog.consume(topic, group, { leaseMs: 30_000 })
  const deliveries = await consumer.next(takeSoon)
  assert.deepEqual(idsOf(deliveries), ['before', 'after'])
})

test('by Sentinels: the next master is checked before an append that a replica has refused is sent to it', async (t) => {
  const sentinel = await startSentinel(t)
  const eventLog = await openLog(t, sentinel.url)
  await sentinel.replica.command('CONFIG', 'SET', 'maxmemory-policy', 'allkeys-lru')
  assert.match(await sentinel.master.command('REPLICAOF', '127.0.0.1', '1'), /OK/)
  await assert.rejects(eventLog.append(stream(), [batchOf(['refused'])]), isCode('durability_lost'))
  await sentinel.replica.command('CONFIG', 'SET', 'maxmemory-policy', 'noeviction')
  await eventually(() => eventLog.append(stream(), [batchOf(['taken'])]))
  const consumer = await eventLog.consume(topic, group, { leaseMs: 30_000 })
  assert.deepEqual(idsOf(await consumer.next(takeSoon)), ['taken'])
})
