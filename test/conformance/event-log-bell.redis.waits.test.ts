// How a consumer of the log on Redis waits: a bell wakes it when there is an entry, it sleeps until a redelivery is
// due, and it costs next to nothing meanwhile.

import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Consumer, Delivery, EventLog, Outcome } from '../../src/event-log/event-log.ts'
import { openRedisConnection } from '../../src/event-log/redis/connection/open-redis-connection.ts'
import { openRedisLog } from '../../src/event-log/redis/open-redis-log.ts'
import { cleanup } from '../support/cleanup.ts'
import { eventually, within } from '../support/eventually.ts'
import { startFaultProxy } from '../support/fault-proxy.ts'
import { RedisServer } from '../support/redis-server.ts'
import { batchOf, group, idsOf, landed, ledger, ledgerOf, perLane, stream, topic } from './event-log-verbs.ts'

const logger = { info() {}, warn() {} }
const prefix = 'test'
const leaseMs = 30_000
const takeNow = { maxEvents: perLane(1000), maxWaitMs: 0 }
/** Shorter than the interval of polls without a bell. */
const takeCalled = { maxEvents: perLane(1000), maxWaitMs: 10_000 }

async function startServer(t: TestContext): Promise<RedisServer> {
  const server = await RedisServer.create()
  cleanup(t, () => server.destroy())
  return server
}

/** A log with its own connections, which the server cannot tell from another process. */
async function openLog(t: TestContext, url: string, partitions = 1): Promise<EventLog> {
  const clocks = { now: Date.now, elapsedMs: () => performance.now() }
  const eventLog = await openRedisLog({ url, prefix, logger, ...clocks })
  cleanup(t, () => eventLog.close())
  await eventLog.declare(topic, { partitions, groups: [{ name: group }] })
  return eventLog
}

/** The number of commands that the server has executed, including those inside scripts. */
async function commandsOf(server: RedisServer): Promise<number> {
  return Number(/total_commands_processed:(\d+)/.exec(await server.command('INFO', 'stats'))?.[1])
}

const channel = (partition = 0) => `${prefix}:{${topic}/${partition}}:bell`

async function isHeard(server: RedisServer, partition: number, listeners: number): Promise<void> {
  const reply = await server.command('PUBSUB', 'SHARDNUMSUB', channel(partition))
  assert.match(reply, new RegExp(`:${listeners}\r\n$`))
}

/** Resolves when the consumer waits and only a bell can wake it: all its polls have found nothing. */
async function waitsIn(server: RedisServer, partition = 0, listeners = 1): Promise<void> {
  await eventually(async () => {
    await isHeard(server, partition, listeners)
    assert.equal(await server.command('HGET', `${prefix}:{${topic}/${partition}}:books`, 'asleep'), '$1\r\n1\r\n')
  })
  // The poll that was triggered when the consumer subscribed to the bell has finished.
  let before = -1
  await eventually(async () => {
    const calls = await scriptsOf(server)
    const isQuiet = calls === before
    before = calls
    assert.ok(isQuiet)
  })
}

async function scriptsOf(server: RedisServer): Promise<number> {
  return Number(/evalsha:calls=(\d+)/.exec(await server.command('INFO', 'commandstats'))?.[1])
}

function again(delivery: Delivery, dueAtMs: number): Outcome {
  return { delivery, landed: 0, dead: 0, again: [{ batch: delivery.batch, attempt: 1, dueAtMs }] }
}

test('a waiting consumer costs less than 5 commands a second, with 8 partitions, trimming included', async (t) => {
  const server = await startServer(t)
  const eventLog = await openLog(t, server.url, 8)
  await eventLog.declare('_dead', { partitions: 1, groups: [{ name: 'redrive' }] })
  const consumers = [
    await eventLog.consume(topic, group, { leaseMs }),
    await eventLog.consume(topic, group, { leaseMs }),
  ]
  // An entry is kept, as it is for an hour after it has landed.
  for (let partition = 0; partition < 8; partition++) {
    await eventLog.append(stream('normal', partition), [batchOf(['a'], Date.now() * 1000)])
  }
  const settled = await consumers[0]!.next(takeNow)
  await consumers[0]!.settle(settled.map(landed))
  const policy = { keepSinceMs: Date.now() - 3_600_000, maxBytes: 1e9 }
  for (const name of [topic, '_dead']) await eventLog.trim(name, policy)
  const waiting = consumers.map((consumer) => consumer.next({ ...takeCalled, maxWaitMs: 8_000 }))
  for (let partition = 0; partition < 8; partition++) await waitsIn(server, partition)

  const before = await commandsOf(server)
  const beganAtMs = performance.now()
  for (let second = 0; second < 5; second++) {
    await sleep(1_000)
    for (const name of [topic, '_dead']) await eventLog.trim(name, policy)
  }
  const seconds = (performance.now() - beganAtMs) / 1000
  const perSecond = ((await commandsOf(server)) - before) / seconds
  assert.ok(perSecond < 5, `${perSecond} commands a second`)
  for (const deliveries of await Promise.all(waiting)) assert.deepEqual(deliveries, [])
})

test('a waiting consumer is woken at once when another process appends, settles with redeliveries, reopens or returns entries', async (t) => {
  const server = await startServer(t)
  const [one, two] = [await openLog(t, server.url, 2), await openLog(t, server.url, 2)]
  const consumer = await two.consume(topic, group, { leaseMs })
  const other = await one.consume(topic, group, { leaseMs })
  await other.next(takeNow)
  const name = stream('low', 1)
  const calledBy = async (work: () => Promise<unknown>): Promise<readonly Delivery[]> => {
    const waiting = consumer.next(takeCalled)
    await waitsIn(server, 1, 2)
    await work()
    return within(5_000, 'the call', waiting)
  }
  const appended = await calledBy(() => one.append(name, [batchOf(['a'])]))
  assert.deepEqual(idsOf(appended), ['a'])
  const reopened = await calledBy(() => one.reopen(name, group, [{ batch: batchOf(['b']), attempt: 1, offset: 0 }]))
  assert.deepEqual(idsOf(reopened), ['b'])
  await two.append(name, [batchOf(['c']), batchOf(['d'])])
  const [c] = await other.next(takeNow)
  const putBack = await calledBy(() => other.settle([again(c!, 0)]))
  assert.deepEqual(idsOf(putBack), ['c'])
  const givenBack = await calledBy(() => other.close())
  assert.deepEqual(idsOf(givenBack), ['d'])
})

test('of the consumers of a group that wait in one process a bell wakes one, and that one the next when there is more', async (t) => {
  const server = await startServer(t)
  const [one, two] = [await openLog(t, server.url), await openLog(t, server.url)]
  const consumers = await Promise.all(Array.from({ length: 8 }, () => two.consume(topic, group, { leaseMs })))
  const got: string[] = []
  const waiting = consumers.map(async (consumer) => {
    got.push(...idsOf(await consumer.next({ ...takeCalled, maxEvents: perLane(1) })))
  })
  await waitsIn(server)
  const before = await scriptsOf(server)
  await one.append(stream(), [batchOf(['a'])])
  await eventually(() => assert.deepEqual(got, ['a']))
  // The append, the poll that finds it, and that of the next consumer, which finds nothing.
  await eventually(async () => assert.equal((await scriptsOf(server)) - before, 3))
  await waitsIn(server)
  await one.append(stream(), [batchOf(['b']), batchOf(['c']), batchOf(['d'])])
  await eventually(() => assert.deepEqual(got.toSorted(), ['a', 'b', 'c', 'd']))
  await Promise.all(consumers.map((consumer) => consumer.close()))
  await Promise.all(waiting)
})

test('a process beats once, however many consumers it has, and no more when the last has closed', async (t) => {
  const server = await startServer(t)
  const eventLog = await openLog(t, server.url)
  const consumers = await Promise.all(
    [300, 60_000, 900].map((each) => eventLog.consume(topic, group, { leaseMs: each })),
  )
  const members = () => server.command('HGETALL', `${prefix}:members`)
  assert.match(await members(), /^\*2\r\n\$12\r\n\S{12}\r\n\$\d+\r\n300:\d+:\["orders","landing"\]\r\n$/)
  await consumers[0]!.close()
  await eventually(async () => assert.match(await members(), /\r\n900:\d+:\[.*\]\r\n$/))
  for (const consumer of consumers) await consumer.close()
  assert.equal(await members(), '*0\r\n')
})

test('a redelivery is handed out when it is due, without an earlier poll', async (t) => {
  const server = await startServer(t)
  const [one, two] = [await openLog(t, server.url), await openLog(t, server.url)]
  const consumer = await two.consume(topic, group, { leaseMs })
  const other = await one.consume(topic, group, { leaseMs })
  await one.append(stream(), [batchOf(['later']), batchOf(['sooner'])])
  const [later, sooner] = await other.next(takeNow)
  await other.settle([again(later!, Date.now() + 60_000)])
  const waiting = consumer.next(takeCalled)
  await waitsIn(server)
  const dueAtMs = Date.now() + 1_500
  const before = await scriptsOf(server)
  await other.settle([again(sooner!, dueAtMs)])
  const deliveries = await within(5_000, 'the due redelivery', waiting)
  assert.deepEqual(idsOf(deliveries), ['sooner'])
  assert.ok(Date.now() >= dueAtMs)
  // The settlement, the poll that its bell triggers, and the poll at the due time; timers may fire a moment early.
  const scripts = (await scriptsOf(server)) - before
  assert.ok(scripts <= 6, `${scripts} scripts`)
})

test('without the bell connection entries are handed out late, and none is lost', async (t) => {
  const server = await startServer(t)
  const one = await openLog(t, server.url)
  const proxy = await startFaultProxy(t, () => `127.0.0.1:${server.port}`)
  const two = await openLog(t, `redis://${proxy.address}`)
  const consumer = await two.consume(topic, group, { leaseMs })
  const waiting = consumer.next({ ...takeCalled, maxWaitMs: 25_000 })
  await waitsIn(server)
  // The other connection stays open.
  proxy.refuse = true
  await server.command('CLIENT', 'KILL', 'TYPE', 'pubsub')
  await one.append(stream(), [batchOf(['a'])])
  await sleep(5_000)
  await one.append(stream(), [batchOf(['b'])])
  const { total } = proxy
  proxy.refuse = false
  const deliveries = await within(12_000, 'the call', waiting)
  assert.deepEqual(idsOf(deliveries), ['a', 'b'])
  assert.ok(proxy.total > total, 'it was woken when the bell connection was back')
  assert.deepEqual(await consumer.settle(deliveries.map(landed)), [])
  const last = consumer.next(takeCalled)
  await waitsIn(server)
  await one.append(stream(), [batchOf(['c'])])
  assert.deepEqual(idsOf(await within(5_000, 'the call', last)), ['c'])
  assert.deepEqual(await ledgerOf(one), ledger({ accepted: 3, landed: 2, waiting: 1, inFlight: 1 }))
})

test('a bell connection that has fallen silent is replaced, and its subscribers are notified', async (t) => {
  const server = await startServer(t)
  const proxy = await startFaultProxy(t, () => `127.0.0.1:${server.port}`)
  const connection = await openRedisConnection({ url: `redis://${proxy.address}`, logger, maxReplyMs: 200 })
  cleanup(t, () => connection.close())
  let news = 0
  await connection.subscribe(channel(), () => news++)
  await server.command('SPUBLISH', channel(), 'x')
  await eventually(() => assert.equal(news, 1))
  proxy.down.blocked = true
  await eventually(() => isHeard(server, 0, 0))
  await server.command('SPUBLISH', channel(), 'x')
  proxy.cut()
  proxy.heal()
  await eventually(() => isHeard(server, 0, 1))
  await eventually(() => assert.equal(news, 2))
  await server.command('SPUBLISH', channel(), 'x')
  await eventually(() => assert.equal(news, 3))
})

test('while the server is unreachable, reconnection attempts become less and less frequent', async (t) => {
  const server = await startServer(t)
  const proxy = await startFaultProxy(t, () => `127.0.0.1:${server.port}`)
  const eventLog = await openLog(t, `redis://${proxy.address}`)
  const consumer: Consumer = await eventLog.consume(topic, group, { leaseMs })
  const waiting = consumer.next(takeCalled)
  // The loss is noticed at once, or at the next poll.
  waiting.catch(() => {})
  await waitsIn(server)
  const { total } = proxy
  proxy.refuse = true
  proxy.cut()
  await sleep(3_000)
  // From 100 ms on each wait is twice as long, randomly reduced to half at most: no more than 6 each.
  const tries = proxy.total - total
  assert.ok(tries >= 2 && tries <= 12, `${tries} tries`)
  proxy.heal()
  await eventually(() => eventLog.append(stream(), [batchOf(['a'])]))
  const deliveries = await waiting.catch(() => eventually(() => consumer.next(takeCalled)))
  assert.deepEqual(idsOf(deliveries), ['a'])
})
