// What only the log on Redis can meet while topics are read without a group: other processes, lost data, entries of other
// programs, a partition that cannot be read.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { MillraceError } from '../../src/errors.ts'
import type { EventLog } from '../../src/event-log/event-log.ts'
import type { TopicCursor } from '../../src/event-log/tail.ts'
import { eventually, within } from '../support/eventually.ts'
import type { RedisServer } from '../support/redis-server.ts'
import { batchOf, group, idsOf, landed, leaseMs, perLane, stream, takeAll, topic } from './event-log-verbs.ts'
import { booksKey, laneKey, openFirst, startServer } from './redis-log.ts'

const now = { maxBytes: 1e9, maxWaitMs: 0 }
/** Shorter than the interval of polls without a bell. */
const called = { maxBytes: 1e9, maxWaitMs: 10_000 }
const everything = { keepSinceMs: Number.MAX_SAFE_INTEGER / 1e6, maxBytes: 0 }

const booksOf = (partition: number) => booksKey.replace('/0}', `/${partition}}`)

async function cursorAtEnd(eventLog: EventLog): Promise<TopicCursor> {
  return (await eventLog.tail.cursorAt(topic, 'now')).cursor
}

/** Resolves when whoever waits in the partition has found nothing, and only its bell can wake them. */
async function waitsIn(server: RedisServer, partition = 0): Promise<void> {
  await eventually(async () => {
    assert.equal(await server.command('HGET', booksOf(partition), 'asleep'), '$1\r\n1\r\n')
    const heard = await server.command('PUBSUB', 'SHARDNUMSUB', booksOf(partition).replace(/books$/, 'bell'))
    assert.match(heard, /:1\r\n$/)
  })
}

async function scriptsOf(server: RedisServer): Promise<number> {
  return Number(/evalsha:calls=(\d+)/.exec(await server.command('INFO', 'commandstats'))?.[1])
}

test('an append of another process wakes every tail and one consumer of a process at once', async (t) => {
  const server = await startServer(t)
  const [{ eventLog: one }, { eventLog: two }] = [await openFirst(t, server.url), await openFirst(t, server.url)]
  const consumer = await two.consume(topic, group, { leaseMs })
  const cursor = await cursorAtEnd(two)
  const tails = [two.tail.read(topic, cursor, called), two.tail.read(topic, cursor, called)]
  const next = consumer.next({ maxEvents: perLane(10), maxWaitMs: 10_000 })
  await waitsIn(server)
  await one.append(stream(), [batchOf(['a'])])
  for (const page of await within(5_000, 'the pages', Promise.all(tails))) assert.deepEqual(idsOf(page.entries), ['a'])
  assert.deepEqual(idsOf(await within(5_000, 'the delivery', next)), ['a'])
})

test('a tail asks only the partitions whose bell has rung', async (t) => {
  const server = await startServer(t)
  const { eventLog } = await openFirst(t, server.url)
  await eventLog.declare(topic, { partitions: 8, groups: [] })
  let cursor = await cursorAtEnd(eventLog)
  const waitAndAppend = async (id: string) => {
    const reading = eventLog.tail.read(topic, cursor, called)
    for (let partition = 0; partition < 8; partition++) await waitsIn(server, partition)
    await eventLog.append(stream('normal', 5), [batchOf([id])])
    const page = await within(5_000, 'the page', reading)
    assert.deepEqual(idsOf(page.entries), [id])
    cursor = page.cursor
  }
  await waitAndAppend('a')
  const before = await scriptsOf(server)
  await waitAndAppend('b')
  // The read that finds the end, the append, the read that finds the entry.
  assert.equal((await scriptsOf(server)) - before, 3)
})

test('a tail gets the entries of partitions that another process has added', async (t) => {
  const server = await startServer(t)
  const [{ eventLog: one }, { eventLog: two }] = [await openFirst(t, server.url), await openFirst(t, server.url)]
  const cursor = await cursorAtEnd(one)
  await two.declare(topic, { partitions: 2, groups: [] })
  await two.append(stream('normal', 1), [batchOf(['a'])])
  await eventually(async () => assert.deepEqual(idsOf((await one.tail.read(topic, cursor, now)).entries), ['a']))
})

test('a tail that waits while Redis loses everything goes on in the new epoch, and says that the gap is unknown', async (t) => {
  const server = await startServer(t)
  const [{ eventLog: one }, { eventLog: two }] = [await openFirst(t, server.url), await openFirst(t, server.url)]
  await one.append(stream(), [batchOf(['a', 'b'])])
  const { cursor: start } = await two.tail.cursorAt(topic, 'earliest')
  const { cursor } = await two.tail.read(topic, start, now)
  await one.append(stream(), [batchOf(['lost'])])
  const behind = await two.tail.read(topic, start, { ...now, maxBytes: 1 })
  assert.deepEqual(idsOf(behind.entries), ['a', 'b'])
  const { cursor: end } = await two.tail.read(topic, cursor, now)
  const waiting = two.tail.read(topic, end, called)
  await waitsIn(server)
  await server.command('FLUSHALL')
  await one.append(stream(), [batchOf(['new'])])
  const ended = await within(5_000, 'the gap', waiting)
  assert.deepEqual([ended.entries, ended.gap], [[], { events: null }])
  const page = await within(5_000, 'the entry', two.tail.read(topic, ended.cursor, called))
  assert.deepEqual([idsOf(page.entries), page.gap], [['new'], null])
  const late = await two.tail.read(topic, behind.cursor, now)
  assert.deepEqual(late.gap, { events: null })
})

test('a tail passes the offsets of what Redis has lost, with or without a wait, so that it gets to the end', async (t) => {
  const server = await startServer(t)
  const { eventLog } = await openFirst(t, server.url)
  const { cursor: start } = await eventLog.tail.cursorAt(topic, 'earliest')
  await eventLog.append(stream(), [batchOf(['a', 'b'])])
  await server.command('FLUSHALL')
  const { cursor } = await eventually(async () => {
    const page = await eventLog.tail.read(topic, start, now)
    assert.ok(page.gap !== null)
    return page
  })
  const end = await cursorAtEnd(eventLog)
  assert.notDeepEqual(cursor, end)
  for (const maxWaitMs of [0, 50]) {
    const page = await eventLog.tail.read(topic, cursor, { ...now, maxWaitMs })
    assert.deepEqual(page, { entries: [], cursor: end, gap: null })
  }
})

test('a tail skips what other programs have added, and does not count their offsets as missed', async (t) => {
  const server = await startServer(t)
  const { eventLog } = await openFirst(t, server.url)
  await eventLog.append(stream(), [batchOf(['a'])])
  const entering = await cursorAtEnd(eventLog)
  await server.command('XADD', laneKey, '*', 'a', 'b')
  await eventLog.append(stream(), [batchOf(['b'])])
  assert.deepEqual((await eventLog.tail.read(topic, entering, now)).gap, { events: null })
  const { cursor: start } = await eventLog.tail.cursorAt(topic, 'earliest')
  const page = await eventLog.tail.read(topic, start, now)
  assert.deepEqual([idsOf(page.entries), page.gap], [['a', 'b'], null])
  assert.deepEqual(page.cursor, await cursorAtEnd(eventLog))
  const consumer = await eventLog.consume(topic, group, { leaseMs })
  await consumer.settle((await takeAll(consumer)).map(landed))
  await eventLog.trim(topic, everything)
  const overtaken = await eventLog.tail.read(topic, start, now)
  assert.deepEqual(overtaken.gap, { events: null }, 'which offsets held events is not known any more')
  await eventLog.append(stream(), [batchOf(['c', 'd'])])
  await consumer.settle((await takeAll(consumer)).map(landed))
  await eventLog.trim(topic, everything)
  assert.deepEqual((await eventLog.tail.read(topic, page.cursor, now)).gap, { events: 2 })
})

test('when one partition cannot be read, a tail gets the entries of the others, and unavailable when there are none', async (t) => {
  const server = await startServer(t)
  const { eventLog } = await openFirst(t, server.url)
  await eventLog.declare(topic, { partitions: 3, groups: [] })
  const start = await cursorAtEnd(eventLog)
  for (const partition of [0, 1, 2]) await eventLog.append(stream('low', partition), [batchOf([`${partition}`])])
  await server.command('RENAME', booksOf(1), `${booksOf(1)}:aside`)
  await server.command('SET', booksOf(1), 'broken')
  const page = await eventLog.tail.read(topic, start, now)
  assert.deepEqual(idsOf(page.entries).toSorted(), ['0', '2'])
  const isUnavailable = (error: unknown) => error instanceof MillraceError && error.code === 'unavailable'
  await assert.rejects(eventLog.tail.read(topic, page.cursor, { ...now, maxWaitMs: 50 }), isUnavailable)
  const waiting = eventLog.tail.read(topic, page.cursor, called)
  await waitsIn(server, 2)
  await eventLog.append(stream('high', 2), [batchOf(['more'])])
  const more = await within(5_000, 'the entry', waiting)
  assert.deepEqual(idsOf(more.entries), ['more'])
  await server.command('RENAME', `${booksOf(1)}:aside`, booksOf(1))
  assert.deepEqual(idsOf((await within(5_000, 'the rest', eventLog.tail.read(topic, more.cursor, called))).entries), [
    '1',
  ])
})

test('a cursor at what a group has settled looks at its redeliveries, or before all of them when they are many', async (t) => {
  const server = await startServer(t)
  const { eventLog } = await openFirst(t, server.url)
  for (const id of ['a', 'b', 'c']) await eventLog.append(stream(), [batchOf([id])])
  const consumer = await eventLog.consume(topic, group, { leaseMs })
  await consumer.settle((await takeAll(consumer)).map(landed))
  const settled = async () => (await eventLog.tail.cursorAt(topic, { settledBy: group })).cursor.offsets[1]
  assert.equal(await settled(), 3)
  const again = { batch: batchOf(['b']), attempt: 0, offset: 1 }
  await eventLog.reopen(stream(), group, Array(1000).fill(again))
  assert.equal(await settled(), 1)
  await eventLog.reopen(stream(), group, [again])
  assert.equal(await settled(), 0)
})
