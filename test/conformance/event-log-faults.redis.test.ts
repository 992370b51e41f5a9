// Failures that only the log on Redis can meet: lost replies, other processes, a server that dies, is full, or whose
// keys another program has changed.

import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { createClient, RESP_TYPES } from 'redis'
import { MillraceError } from '../../src/errors.ts'
import type { RecordBatch } from '../../src/event/record-batch.ts'
import type { Backlog, EventLog } from '../../src/event-log/event-log.ts'
import { openRedisLog } from '../../src/event-log/redis/open-redis-log.ts'
import type { LogReset } from '../../src/event-log/redis/session/sessions.ts'
import { cleanup } from '../support/cleanup.ts'
import { eventually, within } from '../support/eventually.ts'
import { startFaultProxy } from '../support/fault-proxy.ts'
import { type RedisOptions, RedisServer } from '../support/redis-server.ts'
import { startTcpRelay } from '../support/tcp-relay.ts'
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
  takeAll,
  topic,
} from './event-log-verbs.ts'

const silent = { info() {}, warn() {} }
const prefix = 'test'
const leaseMs = 300
const laneKey = `${prefix}:{${topic}/0}:lane:normal`
const booksKey = `${prefix}:{${topic}/0}:books`

const clocks = { now: Date.now, elapsedMs: () => performance.now() }

const isCode = (code: string) => (error: unknown) => error instanceof MillraceError && error.code === code

async function startServer(t: TestContext, options: RedisOptions = {}): Promise<RedisServer> {
  const server = await RedisServer.create(options)
  cleanup(t, () => server.destroy())
  return server
}

/** A log with its own connections, which the server cannot tell from another process. */
async function openLog(t: TestContext, url: string, maxReplyMs = 5_000): Promise<EventLog> {
  const eventLog = await openRedisLog({ url, prefix, logger: silent, ...clocks, maxReplyMs })
  cleanup(t, () => eventLog.close())
  return eventLog
}

async function openFirst(t: TestContext, url: string): Promise<EventLog> {
  const eventLog = await openLog(t, url)
  await eventLog.declare(topic, { partitions: 1, groups: [{ name: group }] })
  return eventLog
}

/** A log behind a network that can fail, and one beside it with a direct connection. */
async function openBehindProxy(t: TestContext) {
  const server = await startServer(t)
  const beside = await openFirst(t, server.url)
  const proxy = await startFaultProxy(t, () => `127.0.0.1:${server.port}`)
  const eventLog = await openLog(t, `redis://${proxy.address}`)
  /** Starts a call, lets the server execute it, and drops the reply. */
  const loseAnswer = async (call: () => Promise<unknown>, isDone: () => Promise<void>): Promise<void> => {
    proxy.down.blocked = true
    const promise = call()
    promise.catch(() => {})
    await eventually(isDone)
    proxy.cut()
    proxy.heal()
    await assert.rejects(promise, isCode('unavailable'))
    await eventually(() => eventLog.describe())
  }
  return { beside, eventLog, loseAnswer }
}

/** A client that reads and writes the keys of the driver. */
async function rawClient(t: TestContext, server: RedisServer) {
  const client = createClient({ url: server.url, RESP: 2 })
  await client.connect()
  cleanup(t, () => client.destroy())
  return client.withTypeMapping({ [RESP_TYPES.BLOB_STRING]: Buffer })
}

const takeNow = { maxEvents: perLane(1000), maxWaitMs: 0 }
const takeSoon = { maxEvents: perLane(1000), maxWaitMs: 5_000 }

test('an append whose reply is lost is unavailable and in the log once; the appends queued behind it are not sent', async (t) => {
  const { beside, eventLog, loseAnswer } = await openBehindProxy(t)
  let behind: Promise<unknown> = Promise.resolve()
  await loseAnswer(
    () => eventLog.append(stream(), [batchOf(['a'])]),
    async () => {
      assert.equal((await ledgerOf(beside)).accepted, 1)
      behind = eventLog.append(stream(), [batchOf(['b'])])
      behind.catch(() => {})
    },
  )
  await assert.rejects(behind, isCode('unavailable'))
  await eventLog.append(stream(), [batchOf(['c'])])
  assert.deepEqual(idsOf(await (await eventLog.consume(topic, group, { leaseMs })).next(takeNow)), ['a', 'c'])
})

test('entries that a lost reply handed out are returned, with the attempt count they had before; held ones stay held', async (t) => {
  const { beside, eventLog, loseAnswer } = await openBehindProxy(t)
  const consumer = await eventLog.consume(topic, group, { leaseMs: 60_000 })
  await beside.append(stream(), [batchOf(['held'])])
  const [held] = await consumer.next(takeNow)
  await beside.append(stream(), [batchOf(['a'])])
  await loseAnswer(
    () => consumer.next(takeNow),
    async () => assert.equal((await ledgerOf(beside)).inFlight, 2),
  )
  const deliveries = await consumer.next(takeSoon)
  assert.deepEqual(idsOf(deliveries), ['a'])
  assert.equal(deliveries[0]?.attempt, 1)
  assert.deepEqual(await consumer.settle([landed(held!), ...deliveries.map(landed)]), [])
  assert.deepEqual(await ledgerOf(beside), ledger({ accepted: 2, landed: 2 }))
})

test('a settlement whose reply is lost can be retried, and is refused when it had taken effect', async (t) => {
  const { beside, eventLog, loseAnswer } = await openBehindProxy(t)
  const consumer = await eventLog.consume(topic, group, { leaseMs: 60_000 })
  await beside.append(stream(), [batchOf(['a'])])
  const deliveries = await consumer.next(takeNow)
  await loseAnswer(
    () => consumer.settle(deliveries.map(landed)),
    async () => assert.equal((await ledgerOf(beside)).landed, 1),
  )
  assert.deepEqual(await consumer.settle(deliveries.map(landed)), deliveries)
  assert.deepEqual(await ledgerOf(beside), ledger({ accepted: 1, landed: 1 }))
})

test('a waiting consumer gets what another process declares, appends, returns or reopens', async (t) => {
  const server = await startServer(t)
  const [one, two] = [await openFirst(t, server.url), await openLog(t, server.url)]
  await one.declare('later', { partitions: 2, groups: [{ name: group }] })
  const late = { topic: 'later', partition: 1, lane: 'low' } as const
  const consumer = await two.consume('later', group, { leaseMs })
  const waiting = () => within(5_000, 'the delivery', consumer.next(takeSoon))
  const [appended] = await Promise.all([waiting(), one.append(late, [batchOf(['a'])])])
  assert.deepEqual(idsOf(appended), ['a'])
  await two.append(late, [batchOf(['b'])])
  const other = await one.consume('later', group, { leaseMs })
  await other.next(takeNow)
  const [givenBack] = await Promise.all([waiting(), other.close()])
  assert.deepEqual([idsOf(givenBack), givenBack[0]?.attempt], [['b'], 1])
  const reopen = one.reopen(late, group, [{ batch: batchOf(['c']), attempt: 4, offset: 0 }])
  const [reopened] = await Promise.all([waiting(), reopen])
  assert.deepEqual([idsOf(reopened), reopened[0]?.attempt], [['c'], 5])
})

test('a living consumer keeps its deliveries beyond the lease; when its process dies, another gets them', async (t) => {
  const server = await startServer(t)
  const relay = await startTcpRelay(server.port)
  cleanup(t, () => relay.close())
  const [one, two] = [await openFirst(t, relay.url), await openLog(t, server.url)]
  const [dying, other] = [await one.consume(topic, group, { leaseMs }), await two.consume(topic, group, { leaseMs })]
  await one.append(stream(), [batchOf(['a'])])
  const [held] = await dying.next(takeNow)
  assert.deepEqual(await other.next({ maxEvents: perLane(10), maxWaitMs: leaseMs * 4 }), [])
  await relay.close()
  const [delivery] = await other.next(takeSoon)
  assert.deepEqual([idsOf([delivery!]), delivery?.attempt], [['a'], 2])
  await assert.rejects(dying.settle([landed(held!)]), isCode('unavailable'))
  assert.deepEqual(await other.settle([landed(delivery!)]), [])
  assert.deepEqual(await ledgerOf(two), ledger({ accepted: 1, landed: 1 }))
})

for (const kind of ['an entry', 'a redelivery'] as const) {
  test(`${kind} that was taken from a consumer cannot be settled by it, not even when it is leased to it again`, async (t) => {
    const server = await startServer(t)
    const proxy = await startFaultProxy(t, () => `127.0.0.1:${server.port}`)
    const [one, two] = [await openFirst(t, `redis://${proxy.address}`), await openLog(t, server.url)]
    const [cut, other] = [await one.consume(topic, group, { leaseMs }), await two.consume(topic, group, { leaseMs })]
    await two.append(stream(), [batchOf(['a'])])
    if (kind === 'a redelivery') {
      const [first] = await other.next(takeNow)
      const again = [{ batch: batchOf(['a']), attempt: 0, dueAtMs: 0 }]
      await other.settle([{ delivery: first!, landed: 0, dead: 0, again }])
    }
    const takeNothing = { maxEvents: perLane(0), maxWaitMs: 0 }
    /** Its heartbeat fails until others may take its deliveries. */
    const cutOff = async () => {
      proxy.up.blocked = true
      await eventually(async () => {
        await other.next(takeNothing)
        assert.equal((await ledgerOf(two)).inFlight, 0)
      })
      proxy.heal()
    }
    const [first] = await cut.next(takeNow)
    await cutOff()
    const [second] = await cut.next(takeSoon)
    assert.deepEqual([first?.attempt, second?.attempt], [1, 2])
    assert.deepEqual(await cut.settle([landed(first!)]), [first])
    await cutOff()
    assert.deepEqual(await cut.settle([landed(second!)]), [second], 'no member holds it')
    const [third] = await other.next(takeSoon)
    assert.equal(third?.attempt, 3)
    assert.deepEqual(await ledgerOf(two), ledger({ accepted: 1, waiting: 1, inFlight: 1 }))
    assert.deepEqual(await other.settle([landed(third!)]), [])
    assert.deepEqual(await ledgerOf(two), ledger({ accepted: 1, landed: 1 }))
  })
}

test('consumers of the same process stay alive, however long their heartbeat is delayed', async (t) => {
  const server = await startServer(t)
  let skewMs = 0
  const elapsedMs = () => performance.now() + skewMs
  const eventLog = await openRedisLog({ url: server.url, prefix, logger: silent, now: Date.now, elapsedMs })
  cleanup(t, () => eventLog.close())
  await eventLog.declare(topic, { partitions: 1, groups: [{ name: group }] })
  const [one, two] = [
    await eventLog.consume(topic, group, { leaseMs: 60_000 }),
    await eventLog.consume(topic, group, { leaseMs: 60_000 }),
  ]
  await eventLog.append(stream(), [batchOf(['a'])])
  const deliveries = await one.next(takeNow)
  for (let look = 0; look < 3; look++) {
    assert.deepEqual(await two.next(takeNow), [])
    skewMs += 61_000
  }
  assert.deepEqual(await one.settle(deliveries.map(landed)), [])
})

test('appends queued behind an append of unknown outcome are not sent', async (t) => {
  const server = await startServer(t)
  const eventLog = await openFirst(t, server.url)
  // The server refuses it with an unexpected error.
  const odd = eventLog.append(stream(), [{ ...batchOf(['odd']), count: 1.5 }])
  odd.catch(() => {})
  await Promise.resolve().then(() => {})
  const behind = eventLog.append(stream(), [batchOf(['behind'])])
  await assert.rejects(odd, isCode('unavailable'))
  await assert.rejects(behind, isCode('unavailable'))
  await eventLog.append(stream(), [batchOf(['a'])])
  assert.deepEqual(await ledgerOf(eventLog), ledger({ accepted: 1, waiting: 1 }))
})

test('the slowest group holds back trimming', async (t) => {
  const server = await startServer(t)
  const eventLog = await openFirst(t, server.url)
  for (const slow of ['aaa', 'zzz']) {
    await eventLog.declare(slow, { partitions: 1, groups: [{ name: slow }, { name: 'middle' }] })
    await eventLog.append({ ...stream(), topic: slow }, [batchOf(['a'])])
    const consumer = await eventLog.consume(slow, 'middle', { leaseMs })
    await consumer.settle((await consumer.next(takeNow)).map(landed))
    assert.equal((await eventLog.trim(slow, { keepSinceMs: 9e12, maxBytes: 0 })).events, 0)
  }
})

test('acknowledged appends survive kill -9 of a server that flushes, and the same log continues', async (t) => {
  const server = await startServer(t, { flushes: true })
  const eventLog = await openFirst(t, server.url)
  const consumer = await eventLog.consume(topic, group, { leaseMs: 60_000 })
  await eventLog.append(stream(), [batchOf(['a']), batchOf(['b'])])
  const [a, b] = await consumer.next(takeNow)
  await consumer.settle([landed(a!)])
  await server.stop('SIGKILL')
  await assert.rejects(eventLog.append(stream(), [batchOf(['c'])]), isCode('unavailable'))
  await server.start()
  await eventually(() => eventLog.append(stream(), [batchOf(['d'])]))
  assert.deepEqual(await consumer.settle([landed(b!)]), [])
  assert.deepEqual(idsOf(await consumer.next(takeNow)), ['d'])
  assert.deepEqual(await ledgerOf(eventLog), ledger({ accepted: 3, landed: 2, waiting: 1, inFlight: 1 }))
})

test('when the memory of the server is full, appends are refused and settling continues', async (t) => {
  const server = await startServer(t)
  const eventLog = await openFirst(t, server.url)
  const consumer = await eventLog.consume(topic, group, { leaseMs: 60_000 })
  await eventLog.append(stream(), [batchOf(['a']), batchOf(['b'])])
  const [a, b] = await consumer.next(takeNow)
  await server.command('CONFIG', 'SET', 'maxmemory', '1')
  await assert.rejects(eventLog.append(stream(), [batchOf(['c'])]), isCode('disk_full'))
  const reopened = [{ batch: batchOf(['a']), attempt: 1, offset: 0 }]
  await assert.rejects(eventLog.reopen(stream(), group, reopened), isCode('disk_full'))
  const again = [{ batch: batchOf(['b']), attempt: 1, dueAtMs: 0 }]
  assert.deepEqual(await consumer.settle([landed(a!), { delivery: b!, landed: 0, dead: 0, again }]), [])
  assert.deepEqual(idsOf(await consumer.next(takeNow)), ['b'])
  await server.command('CONFIG', 'SET', 'maxmemory', '0')
  await eventLog.append(stream(), [batchOf(['d'])])
  assert.deepEqual(await ledgerOf(eventLog), ledger({ accepted: 3, landed: 1, waiting: 2, inFlight: 1 }))
})

test('entries that another program removed are counted as lost, whether they had been handed out or not', async (t) => {
  const server = await startServer(t)
  const eventLog = await openFirst(t, server.url)
  const consumer = await eventLog.consume(topic, group, { leaseMs: 60_000 })
  for (const id of ['a', 'b', 'c']) await eventLog.append(stream(), [batchOf(named(id, 3))])
  await consumer.next({ maxEvents: perLane(1), maxWaitMs: 0 })
  await consumer.close()
  await server.command('XDEL', laneKey, '0-3', '3-3')
  const other = await eventLog.consume(topic, group, { leaseMs: 60_000 })
  const deliveries = await other.next(takeNow)
  assert.deepEqual(idsOf(deliveries), named('c', 3))
  await other.settle(deliveries.map(landed))
  assert.deepEqual(await ledgerOf(eventLog), ledger({ accepted: 9, landed: 3, lost: 6 }))
})

test('an entry that another program removed while it was leased is counted as lost when it is returned', async (t) => {
  const server = await startServer(t)
  const eventLog = await openFirst(t, server.url)
  const consumer = await eventLog.consume(topic, group, { leaseMs: 60_000 })
  for (const id of ['a', 'b', 'c']) await eventLog.append(stream(), [batchOf(named(id, 3))])
  await consumer.next({ maxEvents: perLane(1), maxWaitMs: 0 })
  await server.command('XDEL', laneKey, '0-3')
  await consumer.close()
  assert.deepEqual(await ledgerOf(eventLog), ledger({ accepted: 9, waiting: 6, lost: 3 }))
  const other = await eventLog.consume(topic, group, { leaseMs: 60_000 })
  await other.settle((await other.next(takeNow)).map(landed))
  assert.deepEqual(await ledgerOf(eventLog), ledger({ accepted: 9, landed: 6, lost: 3 }))
  const client = await rawClient(t, server)
  const counters = [`pending:normal:${group}`, `waiting:${group}`, `waitingBytes:${group}`]
  const values = (await client.sendCommand(['HMGET', booksKey, ...counters])) as unknown as Buffer[]
  assert.deepEqual(values.map(String), ['0', '0', '0'])
})

for (const where of ['after the last entry', 'with an id from the clock'] as const) {
  test(`an entry that another program added to a lane, ${where}, blocks nothing, and one new epoch skips it`, async (t) => {
    const server = await startServer(t)
    const resets: LogReset[] = []
    const onReset = (reset: LogReset) => resets.push(reset)
    const eventLog = await openRedisLog({ url: server.url, prefix, logger: silent, ...clocks, onReset })
    cleanup(t, () => eventLog.close())
    await eventLog.declare(topic, { partitions: 2, groups: [{ name: group }] })
    await eventLog.append(stream(), [batchOf(['a'])])
    await eventLog.append(stream('normal', 1), [batchOf(['b'])])
    await server.command('XADD', laneKey, where === 'with an id from the clock' ? '*' : '1-3', 'f', 'v')
    for (const id of ['c', 'd']) await eventLog.append(stream(), [batchOf([id])])
    assert.equal(resets.length, 1)
    const consumer = await eventLog.consume(topic, group, { leaseMs: 60_000 })
    const all = await takeAll(consumer)
    const foreign = all.filter(({ batch }) => batch.damaged)
    assert.deepEqual(foreign, [], 'it is no event')
    assert.deepEqual(idsOf(all).sort(), ['a', 'b', 'c', 'd'])
    assert.deepEqual(await consumer.settle(all.map(landed)), [])
    assert.deepEqual(await ledgerOf(eventLog), ledger({ accepted: 4, landed: 4 }))
    const { entries } = await eventLog.readSettled(stream(), group, { fromOffset: 0, maxBytes: 1e6 })
    assert.equal(entries.length, 3)
    await eventLog.trim(topic, { keepSinceMs: 9e12, maxBytes: 0 })
    const client = await rawClient(t, server)
    assert.equal(Number(await client.sendCommand(['XLEN', laneKey])), 0)
    assert.equal(resets.length, 1)
  })
}

test('a partition that cannot be trimmed does not prevent trimming of the others', async (t) => {
  const server = await startServer(t)
  const eventLog = await openLog(t, server.url)
  await eventLog.declare(topic, { partitions: 2, groups: [{ name: group }] })
  for (const partition of [0, 1]) await eventLog.append(stream('normal', partition), [batchOf(['a'])])
  const consumer = await eventLog.consume(topic, group, { leaseMs: 60_000 })
  await consumer.settle((await takeAll(consumer)).map(landed))
  const first = `${prefix}:{${topic}/0}:lane:high`
  await server.command('DEL', first)
  await server.command('SET', first, 'x')
  await assert.rejects(eventLog.trim(topic, { keepSinceMs: 9e12, maxBytes: 0 }))
  const client = await rawClient(t, server)
  assert.equal(Number(await client.sendCommand(['XLEN', `${prefix}:{${topic}/1}:lane:normal`])), 0)
})

test('a flipped bit is found at every read: the batch is handed out as damaged, with its bytes as they are', async (t) => {
  const server = await startServer(t)
  const eventLog = await openFirst(t, server.url)
  const client = await rawClient(t, server)
  await eventLog.append(stream(), [batchOf(['a']), batchOf(['b'])])
  const [[, fields]] = (await client.sendCommand(['XRANGE', laneKey, '1-1', '1-1'])) as unknown as [[Buffer, Buffer[]]]
  fields.at(-1)![5]! ^= 1
  await client.sendCommand(['XDEL', laneKey, '1-1'])
  await client.sendCommand(['XSETID', laneKey, '0-1'])
  await client.sendCommand(['XADD', laneKey, '1-1', ...fields])
  const consumer = await eventLog.consume(topic, group, { leaseMs: 60_000 })
  const [a, b] = await consumer.next(takeNow)
  assert.deepEqual([a?.batch.damaged, b?.batch.damaged], [undefined, true])
  assert.deepEqual(Buffer.from(b!.batch.bytes), fields.at(-1))

  await consumer.settle([{ delivery: a!, landed: 0, dead: 0, again: [{ batch: a!.batch, attempt: 1, dueAtMs: 0 }] }])
  await consumer.settle([{ delivery: b!, landed: 0, dead: 1 }])
  const records = `${prefix}:{${topic}/0}:again:${group}`
  const [member, record] = (await client.sendCommand(['HGETALL', records])) as unknown as [Buffer, Buffer]
  for (const at of [0, 3, record.length - 1]) {
    const flipped = Buffer.from(record)
    flipped[at]! ^= 1
    await client.sendCommand(['HSET', records, member, flipped])
    const one = await eventLog.consume(topic, group, { leaseMs: 60_000 })
    const [again] = await one.next(takeNow)
    assert.equal(again?.batch.damaged, true, `byte ${at}`)
    await one.close()
  }
  const { entries } = await eventLog.readSettled(stream(), group, { fromOffset: 0, maxBytes: 1e6 })
  assert.deepEqual(
    entries.map(({ batch }) => batch.damaged ?? false),
    [false, true],
  )
})

test('a damaged batch stays damaged when it is redelivered', async (t) => {
  const server = await startServer(t)
  const eventLog = await openFirst(t, server.url)
  const consumer = await eventLog.consume(topic, group, { leaseMs: 60_000 })
  await eventLog.append(stream(), [batchOf(['a'])])
  const [delivery] = await consumer.next(takeNow)
  const again = [{ batch: { ...batchOf(['a']), damaged: true }, attempt: 1, dueAtMs: 0 }]
  await consumer.settle([{ delivery: delivery!, landed: 0, dead: 0, again }])
  const [second] = await consumer.next(takeNow)
  assert.equal(second?.batch.damaged, true)
})

test('a settlement of many large batches is split into several steps', async (t) => {
  const server = await startServer(t)
  const eventLog = await openFirst(t, server.url)
  const consumer = await eventLog.consume(topic, group, { leaseMs: 60_000 })
  const large = { bytes: new Uint8Array(1024 * 1024), count: 1, receivedAtMicros: 1 }
  await eventLog.append(stream(), Array(7).fill(large))
  await eventLog.append(
    stream(),
    named('a', 1500).map((id) => batchOf([id])),
  )
  const all = []
  for (let some = await consumer.next(takeNow); some.length > 0; some = await consumer.next(takeNow)) all.push(...some)
  const outcomes = all.map((delivery) => {
    const again = [{ batch: delivery.batch, attempt: 1, dueAtMs: 0 }]
    return { delivery, landed: 0, dead: 0, again }
  })
  assert.deepEqual(await consumer.settle(outcomes), [])
  assert.deepEqual(await ledgerOf(eventLog), ledger({ accepted: 1507, waiting: 1507 }))
})

test('a declaration that was interrupted is completed by the next process that opens the log', async (t) => {
  const server = await startServer(t)
  await server.command('HSET', `${prefix}:topics`, 'half', '2')
  const client = await rawClient(t, server)
  await client.sendCommand(['HSET', `${prefix}:topics`, `half\0${group}`, '1'])
  const eventLog = await openLog(t, server.url)
  const half = { topic: 'half', partition: 1, lane: 'normal' } as const
  await eventLog.append(half, [batchOf(['a'])])
  const consumer = await eventLog.consume('half', group, { leaseMs })
  assert.deepEqual(idsOf(await consumer.next(takeNow)), ['a'])
})

test('a server that has lost the scripts gets them again', async (t) => {
  const server = await startServer(t)
  const eventLog = await openFirst(t, server.url)
  await server.command('SCRIPT', 'FLUSH')
  await eventLog.append(stream(), [batchOf(['a'])])
  assert.deepEqual(await ledgerOf(eventLog), ledger({ accepted: 1, waiting: 1 }))
})

test('names with braces, spaces and colons work like any others', async (t) => {
  const server = await startServer(t)
  const eventLog = await openLog(t, server.url)
  for (const name of ['{', 'a}{b', ' x:y ', '%7B', 'é/1']) {
    await eventLog.declare(name, { partitions: 1, groups: [{ name }, { name: `${name}:` }] })
    await eventLog.append({ topic: name, partition: 0, lane: 'high' }, [batchOf(['a'])])
    for (const each of [name, `${name}:`]) {
      const consumer = await eventLog.consume(name, each, { leaseMs })
      const deliveries = await consumer.next(takeNow)
      assert.deepEqual(idsOf(deliveries), ['a'])
      assert.equal(deliveries[0]?.position.stream.topic, name)
      assert.deepEqual(await consumer.settle(deliveries.map(landed)), [])
    }
  }
})

test('an unreachable server is unavailable at once, and no connection stays open', async () => {
  const opening = openRedisLog({ url: 'redis://127.0.0.1:1', prefix, logger: silent, ...clocks })
  await assert.rejects(within(5_000, 'the refusal', opening), isCode('unavailable'))
})

test('when the server falls silent, calls reject with unavailable, and a new connection is made', async (t) => {
  const server = await startServer(t)
  const proxy = await startFaultProxy(t, () => `127.0.0.1:${server.port}`)
  const eventLog = await openFirst(t, server.url)
  const behind = await openLog(t, `redis://${proxy.address}`, 200)
  const consumer = await behind.consume(topic, group, { leaseMs: 60_000 })
  const { total } = proxy
  proxy.up.blocked = true
  proxy.down.blocked = true
  const calls: Promise<unknown>[] = [
    behind.append(stream(), [batchOf(['never'])]),
    behind.describe(),
    consumer.next(takeSoon),
    behind.reopen(stream(), group, [{ batch: batchOf(['never']), attempt: 1, offset: 0 }]),
  ]
  for (const call of calls) await assert.rejects(within(2_000, 'the answer', call), isCode('unavailable'))
  const said = (await Promise.allSettled(calls)).map((result) => result.status === 'rejected' && String(result.reason))
  const [ofAppend, ofRead] = said
  assert.match(String(ofAppend), /the outcome is unknown$/)
  assert.doesNotMatch(String(ofRead), /outcome/)
  await eventually(() => assert.ok(proxy.total > total))
  const opening = openRedisLog({ url: `redis://${proxy.address}`, prefix, logger: silent, ...clocks, maxReplyMs: 200 })
  await assert.rejects(within(2_000, 'the refusal', opening), isCode('unavailable'))
  proxy.cut()
  proxy.heal()
  await eventually(() => behind.append(stream(), [batchOf(['a'])]))
  assert.deepEqual(idsOf(await consumer.next(takeSoon)), ['a'])
  assert.equal((await ledgerOf(eventLog)).accepted, 1)
})

test('an idle connection stays open', async (t) => {
  const server = await startServer(t)
  const proxy = await startFaultProxy(t, () => `127.0.0.1:${server.port}`)
  const eventLog = await openLog(t, `redis://${proxy.address}`, 200)
  await sleep(1_000)
  assert.equal(proxy.total, 1)
  await eventLog.describe()
})

test('the queue of appends for a slow server is bounded: further ones are refused, in order', async (t) => {
  const server = await startServer(t)
  const proxy = await startFaultProxy(t, () => `127.0.0.1:${server.port}`)
  const eventLog = await openFirst(t, `redis://${proxy.address}`)
  const { epoch } = await eventLog.describe()
  proxy.down.blocked = true
  const large = { bytes: new Uint8Array(8 * 1024 * 1024), count: 1, receivedAtMicros: 1 }
  const send = (batch: RecordBatch) => eventLog.append(stream(), [batch]).then((appended) => appended, asError)
  const asError = (error: unknown) => error as MillraceError
  const [taken, refused] = [Array(8).fill(large), [large, batchOf(['small'])]]
  const answers = [...taken, ...refused].map(send)
  for (const answer of await Promise.all(answers.slice(8))) {
    assert.ok(answer instanceof MillraceError && answer.code === 'backlogged' && answer.retryable)
    assert.equal((answer.cause as Backlog).waitingBytes, 8 * large.bytes.length)
  }
  proxy.heal()
  for (const [offset, answer] of (await Promise.all(answers.slice(0, 8))).entries()) {
    assert.ok(!(answer instanceof MillraceError), String(answer))
    assert.deepEqual(answer.positions, [{ stream: stream(), epoch, offset }])
  }
  const small = named('s', 20_000).map((id) => send(batchOf([id])))
  const codes = (await Promise.all(small)).map((answer) => (answer instanceof MillraceError ? answer.code : 'stored'))
  const first = codes.indexOf('backlogged')
  assert.deepEqual([first, new Set(codes.slice(first)).size], [16_384, 1])
})

test('a server that hangs while commands are sent is given up, and appends continue when it responds again', async (t) => {
  const server = await startServer(t)
  const lost: string[] = []
  const logger = { info() {}, warn: (_fields: unknown, text?: string) => void lost.push(text ?? '') }
  const eventLog = await openRedisLog({ url: server.url, prefix, logger, ...clocks, maxReplyMs: 500 })
  cleanup(t, () => eventLog.close())
  await eventLog.declare(topic, { partitions: 1, groups: [{ name: group }] })
  process.kill(server.pid as number, 'SIGSTOP')
  // Each writes to the connection, long before the deadline of the previous one.
  const asking = setInterval(() => eventLog.describe().catch(() => {}), 50)
  try {
    const isLost = () => assert.ok(lost.some((text) => text.includes('connection to Redis is lost')))
    await eventually(isLost, { withinMs: 4000 })
  } finally {
    clearInterval(asking)
    process.kill(server.pid as number, 'SIGCONT')
  }
  await eventually(() => eventLog.append(stream(), [batchOf(['after'])]))
})

test('an append is acknowledged and counted once, even when the commit counter throws', async (t) => {
  const server = await startServer(t)
  const proxy = await startFaultProxy(t, () => `127.0.0.1:${server.port}`)
  let isBroken = true
  const onCommit = () => {
    if (isBroken) throw new Error('nobody counts')
  }
  const url = `redis://${proxy.address}`
  const eventLog = await openRedisLog({ url, prefix, logger: silent, ...clocks, onCommit })
  cleanup(t, () => eventLog.close())
  await eventLog.declare(topic, { partitions: 1, groups: [{ name: group }] })
  const { epoch } = await eventLog.describe()
  for (const offset of [0, 1, 2]) {
    const { positions } = await eventLog.append(stream(), [batchOf([`f${offset}`])])
    assert.deepEqual(positions, [{ stream: stream(), epoch, offset }])
  }
  isBroken = false
  proxy.down.blocked = true
  const large = { bytes: new Uint8Array(8 * 1024 * 1024), count: 1, receivedAtMicros: 1 }
  const taken = Array.from({ length: 8 }, () => eventLog.append(stream(), [large]))
  const refused = await eventLog.append(stream(), [batchOf(['more'])]).catch((error) => error)
  assert.ok(refused instanceof MillraceError && refused.code === 'backlogged', String(refused))
  const kept: Backlog = { group: '', waitingEvents: 8, waitingBytes: 8 * large.bytes.length, settledEvents: 3 }
  assert.deepEqual(refused.cause, kept)
  proxy.heal()
  await Promise.all(taken)
})
