// How a consumer of the log on Redis reads many partitions: in parallel, and never more than was requested.

import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import type { EventLog } from '../../src/event-log/event-log.ts'
import { openRedisLog } from '../../src/event-log/redis/open-redis-log.ts'
import { cleanup } from '../support/cleanup.ts'
import { RedisServer } from '../support/redis-server.ts'
import {
  batchOf,
  group,
  idsOf,
  landed,
  ledger,
  ledgerOf,
  named,
  perLane,
  stream,
  take,
  topic,
} from './event-log-verbs.ts'

const prefix = 'test'
const partitions = 8
const leaseMs = 30_000

async function start(t: TestContext) {
  const server = await RedisServer.create()
  cleanup(t, () => server.destroy())
  const clocks = { now: Date.now, elapsedMs: () => performance.now() }
  const eventLog = await openRedisLog({ url: server.url, prefix, logger: { info() {}, warn() {} }, ...clocks })
  cleanup(t, () => eventLog.close())
  await eventLog.declare(topic, { partitions, groups: [{ name: group }] })
  return { server, eventLog, consumer: await eventLog.consume(topic, group, { leaseMs }) }
}

/** Entries of this many events each, in one partition. */
async function fill(eventLog: EventLog, partition: number, entries: number, events: number): Promise<void> {
  const batches = Array.from({ length: entries }, (_, entry) => batchOf(named(`${partition}-${entry}-`, events)))
  await eventLog.append(stream('normal', partition), batches)
}

async function scriptsOf(server: RedisServer): Promise<number> {
  return Number(/evalsha:calls=(\d+)/.exec(await server.command('INFO', 'commandstats'))?.[1])
}

test('every partition is read once, each for its share', async (t) => {
  const { server, eventLog, consumer } = await start(t)
  for (let partition = 0; partition < partitions; partition++) await fill(eventLog, partition, 2, 5)
  // The poll for dead members comes first.
  await take(consumer, 0)
  const before = await scriptsOf(server)
  const deliveries = await take(consumer, 88)
  assert.equal(idsOf(deliveries).length, partitions * 10)
  assert.equal((await scriptsOf(server)) - before, partitions)
  assert.deepEqual(await consumer.settle(deliveries.map(landed)), [])
})

test('no more is handed out than was requested, however the entries are distributed', async (t) => {
  const { eventLog, consumer } = await start(t)
  for (let partition = 0; partition < partitions; partition++) await fill(eventLog, partition, 4, 30)
  const sizes: number[] = []
  for (;;) {
    const deliveries = await take(consumer, 100)
    if (deliveries.length === 0) break
    sizes.push(idsOf(deliveries).length)
    assert.deepEqual(await consumer.settle(deliveries.map(landed)), [])
  }
  // Three entries fit each time; none fits into the share of one partition.
  assert.deepEqual(sizes, [...Array(10).fill(90), 60])
})

test('one partition can use the whole limit of a call', async (t) => {
  const { eventLog, consumer } = await start(t)
  await fill(eventLog, 5, 100, 2)
  const deliveries = await take(consumer, 160)
  assert.deepEqual(idsOf(deliveries), Array.from({ length: 80 }, (_, entry) => named(`5-${entry}-`, 2)).flat())
})

test('an entry with more events than requested is handed out alone, in whichever partition it is', async (t) => {
  const { eventLog, consumer } = await start(t)
  for (let partition = 0; partition < partitions; partition++) await fill(eventLog, partition, 1, 200)
  for (let number = 0; number < partitions; number++) {
    const deliveries = await take(consumer, 100)
    assert.deepEqual([deliveries.length, deliveries[0]?.batch.count], [1, 200])
  }
  assert.deepEqual(await take(consumer, 100), [])
})

test('when one partition cannot be read, the entries of the others are handed out', async (t) => {
  const { server, eventLog, consumer } = await start(t)
  for (const partition of [2, 3, 4]) await fill(eventLog, partition, 1, 1)
  const waiting = await eventLog.consume(topic, group, { leaseMs })
  const books = `${prefix}:{${topic}/3}:books`
  await server.command('RENAME', books, `${books}:aside`)
  await server.command('SET', books, 'broken')
  const deliveries = await take(consumer, 80)
  assert.deepEqual(idsOf(deliveries).sort(), ['2-0-0', '4-0-0'])
  assert.deepEqual(await take(consumer, 80), [])
  const next = waiting.next({ maxEvents: perLane(1000), maxWaitMs: 10_000 })
  await fill(eventLog, 5, 1, 1)
  const added = await next
  assert.deepEqual(idsOf(added), ['5-0-0'])
  assert.deepEqual(await waiting.settle(added.map(landed)), [])
  await server.command('RENAME', `${books}:aside`, books)
  const rest = await take(consumer, 80)
  assert.deepEqual(idsOf(rest), ['3-0-0'])
  assert.deepEqual(await consumer.settle([...deliveries, ...rest].map(landed)), [])
  assert.deepEqual(await ledgerOf(eventLog), ledger({ accepted: 4, landed: 4 }))
})
