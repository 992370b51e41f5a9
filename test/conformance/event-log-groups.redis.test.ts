// Pausing and dropping groups where several processes use one Redis: a change by one process applies to all, and a
// change that was interrupted is completed by the next process.

import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { createClient } from 'redis'
import { MillraceError } from '../../src/errors.ts'
import type { EventLog } from '../../src/event-log/event-log.ts'
import { openRedisLog } from '../../src/event-log/redis/open-redis-log.ts'
import { RedisKeys } from '../../src/event-log/redis/redis-keys.ts'
import { cleanup } from '../support/cleanup.ts'
import { eventually, within } from '../support/eventually.ts'
import { startFaultProxy } from '../support/fault-proxy.ts'
import { RedisServer } from '../support/redis-server.ts'
import {
  again,
  batchOf,
  describeGroup,
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

const silent = { info() {}, warn() {} }
const prefix = 'test'
const leaseMs = 60_000
const clocks = { now: Date.now, elapsedMs: () => performance.now() }
const takeSoon = { maxEvents: perLane(1000), maxWaitMs: 60_000 }
const both = { partitions: 2, groups: [{ name: group }, { name: 'other' }] }

const isCode = (code: string) => (error: unknown) => error instanceof MillraceError && error.code === code

async function startServer(t: TestContext): Promise<RedisServer> {
  const server = await RedisServer.create()
  cleanup(t, () => server.destroy())
  return server
}

/** A log with its own connections, which the server cannot tell from another process. */
async function openLog(t: TestContext, url: string): Promise<EventLog> {
  const eventLog = await openRedisLog({ url, prefix, logger: silent, ...clocks })
  cleanup(t, () => eventLog.close())
  return eventLog
}

/** A log of another process, and one whose first reply to a call is lost, so that the call stays incomplete. */
async function openToFail(t: TestContext) {
  const server = await startServer(t)
  const beside = await openLog(t, server.url)
  await beside.declare(topic, both)
  const proxy = await startFaultProxy(t, () => `127.0.0.1:${server.port}`)
  const failing = await openLog(t, `redis://${proxy.address}`)
  const endHalfWay = async (call: (eventLog: EventLog) => Promise<unknown>, isBegun: () => Promise<void>) => {
    proxy.down.blocked = true
    const ended = assert.rejects(call(failing), isCode('unavailable'))
    await eventually(isBegun)
    proxy.cut()
    await ended
  }
  return { server, beside, endHalfWay }
}

async function namesOf(eventLog: EventLog): Promise<readonly string[]> {
  const { topics } = await eventLog.describe()
  return topics.flatMap(({ groups }) => groups.map(({ name }) => name)).sort()
}

test('nothing is handed out in any process to a group that one process has paused, until it is resumed', async (t) => {
  const server = await startServer(t)
  const [one, two] = [await openLog(t, server.url), await openLog(t, server.url)]
  await one.declare(topic, both)
  const consumer = await two.consume(topic, group, { leaseMs })
  await one.setFlow(topic, group, { paused: 'the table is being moved' })
  await one.append(stream(), [batchOf(['a'])])
  assert.deepEqual(await take(consumer), [])
  assert.deepEqual((await describeGroup(two)).flow, { paused: 'the table is being moved' })
  const waiting = consumer.next(takeSoon)
  await one.setFlow(topic, group, null)
  assert.deepEqual(idsOf(await within(5_000, 'the delivery', waiting)), ['a'])
})

test('consumers of a group that another process has dropped get not_found, and nothing can be reopened for it', async (t) => {
  const server = await startServer(t)
  const [one, two] = [await openLog(t, server.url), await openLog(t, server.url)]
  await one.declare(topic, both)
  await two.describe()
  await one.append(stream(), [batchOf(['a'])])
  const [holder, waiter, other] = [
    await two.consume(topic, group, { leaseMs }),
    await two.consume(topic, group, { leaseMs }),
    await two.consume(topic, group, { leaseMs }),
  ]
  const [held] = await take(holder)
  const told = Promise.all(
    [waiter, other].map((each) =>
      assert.rejects(within(2_000, 'the refusal', each.next(takeSoon)), isCode('not_found')),
    ),
  )
  const reopened = [{ batch: batchOf(['b']), attempt: 1, offset: 0 }]
  assert.equal(await one.dropGroup(topic, group), 1)
  await assert.rejects(two.reopen(stream(), group, reopened), isCode('not_found'))
  await told
  await assert.rejects(holder.settle([landed(held!)]), isCode('not_found'))
  await assert.rejects(take(holder), isCode('not_found'))
  await assert.rejects(two.readSettled(stream(), group, { fromOffset: 0, maxBytes: 1 }), isCode('not_found'))
  assert.deepEqual(await namesOf(two), ['other'])
})

test('a drop that was interrupted is completed by the next process that opens the log', async (t) => {
  const { server, beside, endHalfWay } = await openToFail(t)
  const maxWaiting = { maxEvents: 3, maxBytes: 1e9 }
  await beside.append(stream(), [batchOf(named('a', 3))])
  const other = await beside.consume(topic, 'other', { leaseMs })
  await other.settle((await take(other)).map(landed))
  await endHalfWay(
    (eventLog) => eventLog.dropGroup(topic, group),
    async () => assert.deepEqual(await namesOf(beside), ['other']),
  )
  await assert.rejects(beside.append(stream(), [batchOf(['b'])], { maxWaiting }), isCode('backlogged'))
  await openLog(t, server.url)
  await beside.append(stream(), [batchOf(['b'])], { maxWaiting })
})

test('a drop that was interrupted is completed by the next process that declares the group, which is then a new one', async (t) => {
  const { beside, endHalfWay } = await openToFail(t)
  await beside.append(stream(), [batchOf(['a'])])
  const consumer = await beside.consume(topic, group, { leaseMs })
  await consumer.settle((await take(consumer)).map(landed))
  await endHalfWay(
    (eventLog) => eventLog.dropGroup(topic, group),
    async () => assert.deepEqual(await namesOf(beside), ['other']),
  )
  await beside.declare(topic, both)
  assert.deepEqual(await ledgerOf(beside), ledger({ accepted: 1, waiting: 1 }))
  assert.deepEqual(idsOf(await take(await beside.consume(topic, group, { leaseMs }))), ['a'])
})

test('a drop that was interrupted can be retried, and resolves with the number of waiting events', async (t) => {
  const { beside, endHalfWay } = await openToFail(t)
  await beside.append(stream(), [batchOf(named('a', 3))])
  await endHalfWay(
    (eventLog) => eventLog.dropGroup(topic, group),
    async () => assert.deepEqual(await namesOf(beside), ['other']),
  )
  assert.equal(await beside.dropGroup(topic, group), 3)
  await assert.rejects(beside.dropGroup(topic, group), isCode('not_found'))
})

test('a pause that was interrupted applies to all partitions when the next process opens the log', async (t) => {
  const { server, beside, endHalfWay } = await openToFail(t)
  await beside.append(stream(), [batchOf(['a'])])
  await endHalfWay(
    (eventLog) => eventLog.setFlow(topic, group, { paused: 'maintenance' }),
    async () => assert.deepEqual((await describeGroup(beside)).flow, { paused: 'maintenance' }),
  )
  await openLog(t, server.url)
  const consumer = await beside.consume(topic, group, { leaseMs })
  assert.deepEqual(await take(consumer), [])
  await beside.setFlow(topic, group, null)
  await openLog(t, server.url)
  assert.deepEqual(idsOf(await take(consumer)), ['a'])
})

test('a dropped group is not recreated by a process that still knew it', async (t) => {
  const server = await startServer(t)
  const [one, two] = [await openLog(t, server.url), await openLog(t, server.url)]
  await one.declare(topic, both)
  await one.append(stream(), [batchOf(['a'])])
  await one.dropGroup(topic, group)
  // What a process does that read the registry before the drop and creates what is missing after it.
  const raw = createClient({ url: server.url, RESP: 2 })
  await raw.connect()
  cleanup(t, () => raw.destroy())
  const { readScripts } = await import('../../src/event-log/redis/scripts/redis-scripts.ts')
  const keys = new RedisKeys(prefix).partition(topic, 0).forMake()
  const { epoch } = await one.describe()
  const made = await raw.sendCommand([
    'EVAL',
    readScripts()['make-partition'].text,
    String(keys.length),
    ...keys,
    // The declaration was the first change of the registry.
    ...[String(epoch), '', 'made', '1', group, '-'],
  ])
  assert.equal(String(made), 'stale')
  await two.append(stream(), [batchOf(['b'])], { maxWaiting: { maxEvents: 2, maxBytes: 1e9 } })
  await two.declare(topic, both)
  assert.deepEqual(await ledgerOf(two), ledger({ accepted: 2, waiting: 2 }))
})

test('nothing remains of a dropped group', async (t) => {
  const server = await startServer(t)
  const eventLog = await openLog(t, server.url)
  await eventLog.declare(topic, { partitions: 1, groups: [{ name: group }, { name: 'other' }] })
  const consumer = await eventLog.consume(topic, group, { leaseMs })
  for (const id of ['a', 'b', 'c']) await eventLog.append(stream(), [batchOf([id])])
  const [a, b] = await take(consumer)
  await consumer.settle([again(a!, Date.now() - 1), again(b!, Date.now() + leaseMs)])
  const [back] = await take(consumer)
  await eventLog.setFlow(topic, group, { paused: 'forgotten' })
  await eventLog.dropGroup(topic, group)
  await assert.rejects(consumer.settle([landed(back!)]), isCode('not_found'))
  await consumer.close()
  const raw = createClient({ url: server.url, RESP: 2 })
  await raw.connect()
  cleanup(t, () => raw.destroy())
  const keys = (await raw.sendCommand(['KEYS', '*'])) as unknown as string[]
  assert.deepEqual(
    keys.filter((key) => key.endsWith(group)),
    [],
  )
  const books = (await raw.sendCommand(['HKEYS', `${prefix}:{${topic}/0}:books`])) as unknown as string[]
  assert.deepEqual(
    books.filter((field) => field.endsWith(group)),
    [],
  )
  const topics = (await raw.sendCommand(['HKEYS', `${prefix}:topics`])) as unknown as string[]
  assert.deepEqual(
    topics.filter((field) => field.includes(group)),
    [],
  )
})

const topicsKey = `${prefix}:topics`
const booksOf = (partition: number) => `${prefix}:{${topic}/${partition}}:books`
const losses = {
  'the books of one partition': ['DEL', booksOf(0)],
  'the books of one partition and the registry': ['DEL', booksOf(0), topicsKey],
  'the registry': ['DEL', topicsKey],
  everything: ['FLUSHALL'],
}
for (const [what, command] of Object.entries(losses)) {
  for (const first of ['old', 'new'] as const) {
    const lost = `${what} ${what.includes('and') ? 'are' : 'is'} lost`
    test(`a dropped group is not recreated when ${lost} and the process with ${first} knowledge notices first`, async (t) => {
      const server = await startServer(t)
      const [one, two] = [await openLog(t, server.url), await openLog(t, server.url)]
      await one.declare(topic, both)
      await two.describe()
      for (const partition of [0, 1]) await two.append(stream('normal', partition), [batchOf(['a'])])
      await one.dropGroup(topic, 'other')
      await server.command(...command)
      const [noticing, coming] = first === 'old' ? [two, one] : [one, two]
      // What a process does that has not read the registry since.
      await noticing.append(stream(), [batchOf(['b'])]).catch(() => {})
      // It does not know the topic before a process declares it that has declared it before.
      if (what === 'the registry') await noticing.setFlow(topic, group, null).catch(() => {})
      await coming.append(stream(), [batchOf(['c'])])
      for (const eventLog of [one, two, await openLog(t, server.url)])
        assert.deepEqual(await namesOf(eventLog), [group])
      const consumer = await one.consume(topic, group, { leaseMs })
      await consumer.settle((await take(consumer)).map(landed))
      const maxWaiting = { maxEvents: 1, maxBytes: 1e9 }
      for (const partition of [0, 1]) await two.append(stream('normal', partition), [batchOf(['d'])], { maxWaiting })
      await two.declare(topic, both)
      assert.deepEqual(await namesOf(await openLog(t, server.url)), [group, 'other'])
      assert.equal((await describeGroup(one, 'other')).waiting, (await describeGroup(one, 'other')).auditedWaiting)
    })
  }
}

test('a group is a new one under its name when the registry with the numbers of dropped groups was lost', async (t) => {
  const server = await startServer(t)
  const one = await openLog(t, server.url)
  await one.declare(topic, both)
  await one.append(stream(), [batchOf(['a'])])
  await one.dropGroup(topic, group)
  await one.close()
  await server.command('DEL', topicsKey)
  const later = await openLog(t, server.url)
  await later.declare(topic, both)
  assert.deepEqual(await ledgerOf(later), ledger({ accepted: 1, waiting: 1 }))
  await later.setFlow(topic, 'other', { paused: 'maintenance' })
  const consumer = await later.consume(topic, 'other', { leaseMs })
  assert.deepEqual(await take(consumer), [])
  await later.setFlow(topic, 'other', null)
  assert.deepEqual(idsOf(await take(consumer)), ['a'])
  assert.equal(await later.dropGroup(topic, 'other'), 1)
  assert.deepEqual(await namesOf(await openLog(t, server.url)), [group])
})

for (const [what, command] of Object.entries(losses)) {
  const isKept = what !== 'everything' && !what.includes('and')
  test(`a pause and a rate are ${isKept ? 'kept' : 'gone'} when ${what} ${what.includes('and') ? 'are' : 'is'} lost`, async (t) => {
    const server = await startServer(t)
    const [one, two] = [await openLog(t, server.url), await openLog(t, server.url)]
    await one.declare(topic, { ...both, partitions: 1 })
    await two.describe()
    await one.setFlow(topic, group, { paused: 'maintenance' })
    await one.setFlow(topic, 'other', { ratePerSecond: 50 })
    await server.command(...command)
    await one.describe()
    await one.append(stream(), [batchOf(['a'])])
    await two.append(stream(), [batchOf(['b'])])
    for (const eventLog of [one, two]) {
      assert.deepEqual((await describeGroup(eventLog)).flow, isKept ? { paused: 'maintenance' } : null)
      assert.deepEqual((await describeGroup(eventLog, 'other')).flow, isKept ? { ratePerSecond: 50 } : null)
    }
    const consumer = await two.consume(topic, group, { leaseMs })
    assert.deepEqual(idsOf(await take(consumer)), isKept ? [] : ['a', 'b'])
    await two.setFlow(topic, group, null)
    if (isKept) assert.deepEqual(idsOf(await take(consumer)), ['a', 'b'])
  })
}
