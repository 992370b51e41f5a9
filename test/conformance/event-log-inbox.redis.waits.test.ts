// Who waits for a reply, and who settles it, are two processes; the connection on which replies are announced fails.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { EventLog } from '../../src/event-log/event-log.ts'
import { eventually } from '../support/eventually.ts'
import { startFaultProxy } from '../support/fault-proxy.ts'
import { batchOf, group, idsIn, landed, stream, takeAll, topic } from './event-log-verbs.ts'
import { openFirst, prefix, startServer } from './redis-log.ts'

const ttlMs = 600_000
const inbox = 'inbox-1'
const leaseMs = 30_000

test('a reply reaches the process that waits; one that is stored while its connection is cut can be read, and it is told to', async (t) => {
  const server = await startServer(t)
  const proxy = await startFaultProxy(t, () => `127.0.0.1:${server.port}`)
  const { eventLog: waiting } = await openFirst(t, `redis://${proxy.address}`)
  const { eventLog: working } = await openFirst(t, server.url)
  const heard: string[] = []
  let missed = 0
  await waiting.replies.listen(topic, inbox, {
    onReply: (id, bytes) => heard.push(`${id}: ${Buffer.from(bytes)}`),
    onMissed: () => missed++,
  })
  const consumer = await working.consume(topic, group, { leaseMs })
  assert.equal(await waiting.hasConsumers(topic, group), true)
  const settle = async () => {
    const outcomes = (await takeAll(consumer)).map((delivery) => {
      const [id] = idsIn(delivery)
      return { ...landed(delivery), reply: { id: id!, bytes: Buffer.from(id!.toUpperCase()), ttlMs, inbox } }
    })
    assert.deepEqual(await consumer.settle(outcomes), [])
  }
  const ask = (eventLog: EventLog, id: string) =>
    eventLog.append(stream(), [batchOf([id])], { once: { id, fingerprint: 'f', ttlMs } })
  const listeners = async (count: number) => {
    const channel = `${prefix}:{${topic}/0}:inbox:${inbox}`
    assert.match(await server.command('PUBSUB', 'SHARDNUMSUB', channel), new RegExp(`:${count}\r\n$`))
  }

  await ask(waiting, 'über')
  await settle()
  await eventually(() => assert.deepEqual([heard, missed], [['über: ÜBER'], 0]))

  await ask(waiting, 'b')
  proxy.refuse = true
  await server.command('CLIENT', 'KILL', 'TYPE', 'pubsub')
  await eventually(() => listeners(0))
  await settle()
  assert.deepEqual(await waiting.replies.get(topic, group, 'b'), { stage: 'replied', bytes: Buffer.from('B') })
  assert.equal(missed, 0)
  proxy.refuse = false
  await eventually(() => assert.equal(missed, 1))
  await ask(waiting, 'c')
  await settle()
  await eventually(() => assert.deepEqual(heard, ['über: ÜBER', 'c: C']))

  await consumer.close()
  assert.equal(await waiting.hasConsumers(topic, group), false)
})

test('a process whose consumer leaves one of two groups says so at once', async (t) => {
  const server = await startServer(t)
  const [{ eventLog: one }, { eventLog: two }] = [await openFirst(t, server.url), await openFirst(t, server.url)]
  await two.declare(topic, { partitions: 1, groups: [{ name: 'second' }] })
  const consumer = await two.consume(topic, group, { leaseMs })
  await two.consume(topic, 'second', { leaseMs })
  assert.deepEqual([await one.hasConsumers(topic, group), await one.hasConsumers(topic, 'second')], [true, true])
  await consumer.close()
  assert.deepEqual([await one.hasConsumers(topic, group), await one.hasConsumers(topic, 'second')], [false, true])
})
