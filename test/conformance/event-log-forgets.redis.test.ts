// Data loss in Redis: of groups, keys, everything, or the latest acknowledged writes. Every loss is reported, the
// remaining entries are all delivered, and consumers and producers resume.

import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { MillraceError } from '../../src/errors.ts'
import { cleanup } from '../support/cleanup.ts'
import { eventually } from '../support/eventually.ts'
import { startFaultProxy } from '../support/fault-proxy.ts'
import type { RedisServer } from '../support/redis-server.ts'
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
import {
  booksKey,
  copyServer,
  isOver,
  joinAgain,
  laneKey,
  openFirst,
  openLog,
  prefix,
  rawClient,
  startServer,
} from './redis-log.ts'

const leaseMs = 60_000
const takeNow = { maxEvents: perLane(1000), maxWaitMs: 0 }
const takeSoon = { maxEvents: perLane(1000), maxWaitMs: 5_000 }
const isCode = (code: string) => (error: unknown) => error instanceof MillraceError && error.code === code

/** A log in which a and b are settled, c and e are leased, d between them is settled, f and g are untouched. */
async function openHalfDone(t: TestContext) {
  const server = await startServer(t)
  const open = await openFirst(t, server.url)
  const { eventLog } = open
  const consumer = await eventLog.consume(topic, group, { leaseMs })
  for (const id of ['a', 'b', 'c', 'd', 'e', 'f', 'g']) await eventLog.append(stream(), [batchOf([id])])
  const [a, b, c, d, e] = await consumer.next({ maxEvents: perLane(5), maxWaitMs: 0 })
  await consumer.settle([a!, b!, d!].map(landed))
  return { ...open, server, consumer, held: [c!, e!] }
}

test('a group that Redis lost is recreated after its settled entries: nothing else is lost, and the rest is counted', async (t) => {
  const { server, eventLog, consumer, held, warnings, resets } = await openHalfDone(t)
  await server.command('XGROUP', 'DESTROY', laneKey, group)
  assert.deepEqual(await consumer.settle(held.map(landed)), held, 'no member holds them any more')
  assert.deepEqual(await ledgerOf(eventLog), ledger({ accepted: 7, reopened: 1, landed: 3, waiting: 5 }))
  const deliveries = await takeAll(consumer)
  assert.deepEqual(idsOf(deliveries), ['c', 'd', 'e', 'f', 'g'])
  assert.deepEqual(await consumer.settle(deliveries.map(landed)), [])
  assert.deepEqual(await ledgerOf(eventLog), ledger({ accepted: 7, reopened: 1, landed: 8 }))
  assert.deepEqual([warnings.length, resets.length], [1, 0])
})

test('a group that had settled everything starts where it was', async (t) => {
  const { server, eventLog, consumer, held } = await openHalfDone(t)
  await consumer.settle(held.map(landed))
  await consumer.settle((await takeAll(consumer)).map(landed))
  await server.command('XGROUP', 'DESTROY', laneKey, group)
  await eventLog.append(stream(), [batchOf(['h'])])
  assert.deepEqual(idsOf(await takeAll(consumer)), ['h'])
  assert.deepEqual(await ledgerOf(eventLog), ledger({ accepted: 8, landed: 7, waiting: 1, inFlight: 1 }))
})

test('waiting consumers resume when their group is lost, in every process, and one process reports it', async (t) => {
  const server = await startServer(t)
  const logs = [await openFirst(t, server.url), await openFirst(t, server.url)]
  const consumers = await Promise.all(logs.map(({ eventLog }) => eventLog.consume(topic, group, { leaseMs })))
  const waiting = consumers.map((consumer) => consumer.next(takeSoon))
  await server.command('XGROUP', 'DESTROY', laneKey, group)
  await logs[0]!.eventLog.append(stream(), [batchOf(['a'])])
  const [first] = await Promise.race(waiting)
  assert.deepEqual(idsOf([first!]), ['a'])
  await logs[0]!.eventLog.append(stream(), [batchOf(['b'])])
  await Promise.all(consumers.map((consumer) => consumer.close()))
  await Promise.all(waiting)
  const consumer = await logs[1]!.eventLog.consume(topic, group, { leaseMs })
  assert.deepEqual(idsOf(await takeAll(consumer)), ['a', 'b'])
  assert.equal(logs.flatMap(({ warnings }) => warnings).length, 1)
})

test('a deleted stream is counted as lost, and its offsets are not reused', async (t) => {
  const { server, eventLog, consumer, resets } = await openHalfDone(t)
  await server.command('DEL', laneKey)
  assert.deepEqual(await takeAll(consumer), [])
  assert.deepEqual(await ledgerOf(eventLog), ledger({ accepted: 7, landed: 3, lost: 4 }))
  const { positions } = await eventLog.append(stream(), [batchOf(['h'])])
  assert.equal(positions[0]?.offset, 7)
  assert.deepEqual(idsOf(await takeAll(consumer)), ['h'])
  assert.deepEqual(await ledgerOf(eventLog), ledger({ accepted: 8, landed: 3, lost: 4, waiting: 1, inFlight: 1 }))
  assert.deepEqual(resets, [])
})

for (const noticedBy of ['append', 'next', 'settle', 'describe', 'reopen', 'trim', 'readSettled', 'declare'] as const) {
  test(`FLUSHALL is noticed by the next ${noticedBy}: a new epoch begins, and the log continues`, async (t) => {
    const { server, eventLog, consumer: ended, held, resets, warnings } = await openHalfDone(t)
    const { epoch } = await eventLog.describe()
    await server.command('FLUSHALL')
    const calls = {
      append: () => eventLog.append(stream('high'), [batchOf(['x'])]),
      next: () => assert.rejects(ended.next(takeNow), isOver),
      settle: () => assert.rejects(ended.settle(held.map(landed)), isOver),
      describe: () => eventLog.describe(),
      reopen: () => eventLog.reopen(stream('high'), group, [{ batch: batchOf(['x']), attempt: 0, offset: 0 }]),
      trim: () => eventLog.trim(topic, { keepSinceMs: 0, maxBytes: 0 }),
      readSettled: () => eventLog.readSettled(stream(), group, { fromOffset: 0, maxBytes: 1 }),
      declare: () => eventLog.declare('other', { partitions: 1, groups: [{ name: group }] }),
    }
    await calls[noticedBy]()
    assert.deepEqual(resets, [{ reason: 'gone', epoch: epoch + 1 }])
    assert.equal((await eventLog.describe()).epoch, epoch + 1)
    await assert.rejects(ended.settle(held.map(landed)), isOver)
    const consumer = await joinAgain(eventLog, ended)
    await consumer.settle((await takeAll(consumer)).map(landed))
    const { positions } = await eventLog.append(stream(), [batchOf(['new'])])
    assert.deepEqual(positions[0], { stream: stream(), epoch: epoch + 1, offset: 7 }, 'no offset is used twice')
    const [delivery] = await consumer.next(takeNow)
    assert.deepEqual(delivery?.position, positions[0])
    assert.deepEqual(await consumer.settle([landed(delivery!)]), [])
    const { accepted, reopened, landed: landedEvents, waiting, lost } = await ledgerOf(eventLog)
    assert.deepEqual([accepted + reopened - landedEvents, waiting, lost], [4, 0, 4], 'what waited is counted as lost')
    assert.deepEqual([resets.length, warnings.length], [1, 1])
  })
}

test('when several processes notice a loss at once, one starts the new epoch, and all continue in it', async (t) => {
  const server = await startServer(t)
  const logs = []
  for (let count = 0; count < 4; count++) logs.push(await openFirst(t, server.url))
  const { epoch } = await logs[0]!.eventLog.describe()
  for (const { eventLog } of logs) await eventLog.append(stream(), [batchOf(['before'])])
  await server.command('FLUSHALL')
  const appends = logs.flatMap(({ eventLog }, number) =>
    named(`${number}.`, 5).map((id) => eventLog.append(stream(), [batchOf([id])])),
  )
  const positions = (await Promise.all(appends)).map((appended) => appended.positions[0]!)
  assert.deepEqual([...new Set(positions.map((position) => position.epoch))], [epoch + 1])
  const offsets = positions.map(({ offset }) => offset).sort((a, b) => a - b)
  assert.equal(new Set(offsets).size, 20)
  for (const { eventLog } of logs) assert.equal((await eventLog.describe()).epoch, epoch + 1)
  assert.deepEqual(await ledgerOf(logs[0]!.eventLog), ledger({ accepted: 24, waiting: 20, lost: 4 }))
})

test('a sequence that was stored before a loss is appended again in the new epoch', async (t) => {
  const server = await startServer(t)
  const { eventLog } = await openFirst(t, server.url)
  const producer = { id: 'p', epoch: 1, sequence: 7 }
  await eventLog.append(stream(), [batchOf(['a'])], { producer })
  assert.equal((await eventLog.append(stream(), [batchOf(['a'])], { producer })).duplicate, true)
  await server.command('DEL', booksKey)
  assert.equal((await eventLog.append(stream(), [batchOf(['a'])], { producer })).duplicate, false)
})

test('when only the books are lost, the kept entries are redelivered, and no offset is assigned twice', async (t) => {
  const { server, eventLog, consumer: ended, held, resets } = await openHalfDone(t)
  const again = [{ batch: batchOf(['c']), attempt: 1, dueAtMs: 0 }]
  await ended.settle([{ delivery: held[0]!, landed: 0, dead: 0, again }])
  await server.command('DEL', booksKey)
  const { positions } = await eventLog.append(stream(), [batchOf(['h'])])
  assert.equal(positions[0]?.offset, 7)
  await assert.rejects(ended.settle([landed(held[1]!)]), isOver)
  const consumer = await joinAgain(eventLog, ended)
  const deliveries = await takeAll(consumer)
  assert.deepEqual(idsOf(deliveries), ['c', 'a', 'b', 'c', 'd', 'e', 'f', 'g', 'h'])
  const put = [{ batch: batchOf(['h']), attempt: 1, dueAtMs: 0 }]
  await consumer.settle([{ delivery: deliveries[8]!, landed: 0, dead: 0, again: put }])
  assert.deepEqual(await consumer.settle(deliveries.slice(0, 8).map(landed)), [])
  assert.deepEqual(idsOf(await takeAll(consumer)), ['h'])
  assert.deepEqual(await ledgerOf(eventLog), ledger({ accepted: 8, reopened: 4, landed: 11, waiting: 1, inFlight: 1 }))
  assert.deepEqual(
    resets.map(({ reason }) => reason),
    ['gone'],
  )
})

test('an old copy is recognised by its missing entries: the rest is handed out, in a new epoch', async (t) => {
  const server = await startServer(t)
  const { eventLog, resets } = await openFirst(t, server.url)
  const ended = await eventLog.consume(topic, group, { leaseMs })
  await eventLog.append(stream(), [batchOf(['a']), batchOf(['b'])])
  const first = await takeAll(ended)
  const restore = await copyServer(t, server)
  await eventually(() => ended.settle(first.map(landed)))
  await eventLog.append(stream(), [batchOf(['lost'])])
  await restore()
  const consumer = await eventually(() => joinAgain(eventLog, ended))
  const deliveries = await takeAll(consumer)
  assert.deepEqual(idsOf(deliveries), ['a', 'b'])
  const { epoch } = await eventLog.describe()
  assert.deepEqual(resets, [{ reason: 'behind', epoch }])
  assert.ok(deliveries.every(({ position }) => position.epoch === epoch))
  assert.deepEqual(await consumer.settle(deliveries.map(landed)), [])
  assert.deepEqual(await ledgerOf(eventLog), ledger({ accepted: 3, reopened: 2, landed: 4, lost: 1 }))
})

for (const who of ['appended', 'read'] as const) {
  test(`offsets that were reassigned after a failover are noticed by a process that had ${who} there`, async (t) => {
    const server = await startServer(t)
    const proxy = await startFaultProxy(t, () => `127.0.0.1:${server.port}`)
    const one = await openFirst(t, `redis://${proxy.address}`)
    const other = await openFirst(t, server.url)
    const writer = who === 'appended' ? one : other
    const restore = await copyServer(t, server)
    await eventually(() => writer.eventLog.append(stream(), [batchOf(['lost'])]))
    const ended = await eventually(() => one.eventLog.consume(topic, group, { leaseMs }))
    if (who === 'read') assert.deepEqual(idsOf(await takeAll(ended)), ['lost'])
    proxy.refuse = true
    proxy.cut()
    await other.eventLog.close()
    await restore()
    const third = await openFirst(t, server.url)
    await third.eventLog.append(stream(), [batchOf(['other']), batchOf(['more'])])
    proxy.heal()
    const consumer = await eventually(() => joinAgain(one.eventLog, ended))
    const deliveries = await takeAll(consumer)
    assert.deepEqual(idsOf(deliveries), ['other', 'more'])
    assert.deepEqual(
      one.resets.map(({ reason }) => reason),
      ['different'],
    )
    await third.eventLog.append(stream(), [batchOf(['last'])])
    assert.deepEqual(
      third.resets.map(({ reason }) => reason),
      ['elsewhere'],
    )
  })
}

test('a log that is opened after everything was lost starts an epoch that was never used before', async (t) => {
  const server = await startServer(t)
  const one = await openFirst(t, server.url)
  await one.eventLog.append(stream(), [batchOf(['a'])])
  await server.command('FLUSHALL')
  const later = await openLog(t, server.url, { now: () => Date.now() + 1_000 })
  await later.eventLog.declare(topic, { partitions: 1, groups: [{ name: group }] })
  const { epoch } = (await later.eventLog.append(stream(), [batchOf(['b']), batchOf(['c'])])).positions[0]!
  // It would look as if its own entry were there, with another one after it.
  const { positions } = await one.eventLog.append(stream(), [batchOf(['d'])])
  assert.ok(positions[0]!.epoch >= epoch)
  assert.equal(one.resets.length, 1)
  assert.deepEqual(await ledgerOf(later.eventLog), ledger({ accepted: 4, waiting: 3, lost: 1 }))
})

test('a new epoch that was started and interrupted is completed by the next process', async (t) => {
  const { server, eventLog, consumer, held, resets } = await openHalfDone(t)
  const { epoch } = await eventLog.describe()
  const client = await rawClient(t, server)
  await client.sendCommand(['HSET', `${prefix}:topics`, '\0\0epoch', String(epoch + 5)])
  const other = await openLog(t, server.url)
  assert.equal((await other.eventLog.describe()).epoch, epoch + 5)
  await assert.rejects(consumer.settle(held.map(landed)), isOver)
  assert.deepEqual(resets, [{ reason: 'elsewhere', epoch: epoch + 5 }])
  const deliveries = await takeAll(await joinAgain(eventLog, consumer))
  assert.deepEqual(idsOf(deliveries), ['c', 'e', 'f', 'g'])
  assert.ok(deliveries.every(({ attempt }) => attempt === 1))
})

test('a partition without its books is not a new one: the process that opens the log starts a new epoch', async (t) => {
  const { server, eventLog } = await openHalfDone(t)
  const { epoch } = await eventLog.describe()
  await eventLog.close()
  await server.command('DEL', booksKey, `${prefix}:{${topic}/0}:groups`)
  for (const lane of ['high', 'normal', 'low']) await server.command('DEL', `${prefix}:{${topic}/0}:lane:${lane}`)
  const { eventLog: later, resets } = await openLog(t, server.url)
  assert.deepEqual(resets, [{ reason: 'gone', epoch: epoch + 1 }])
  assert.deepEqual(await ledgerOf(later), ledger({ lost: null }), 'no process knew what was there')
})

test('a server that keeps losing data makes calls unavailable, and does not block them', async (t) => {
  const server = await startServer(t)
  const { eventLog } = await openFirst(t, server.url)
  const flushing = new AbortController()
  cleanup(t, () => flushing.abort())
  const flood = (async () => {
    while (!flushing.signal.aborted) await server.command('FLUSHALL')
  })()
  const outcomes = await Promise.allSettled(named('a', 20).map((id) => eventLog.append(stream(), [batchOf([id])])))
  for (const outcome of outcomes) {
    if (outcome.status === 'rejected') assert.ok(isCode('unavailable')(outcome.reason), String(outcome.reason))
  }
  flushing.abort()
  await flood
  await eventLog.append(stream(), [batchOf(['b'])])
})

for (const noticedBy of ['describe', 'declare', 'pause'] as const) {
  test(`when only the registry is lost, which ${noticedBy} notices, the topics stay known and waiting consumers are woken`, async (t) => {
    const { server, eventLog, consumer: ended, held, resets } = await openHalfDone(t)
    const { epoch } = await eventLog.describe()
    await server.command('DEL', `${prefix}:topics`)
    const calls = {
      describe: () => eventLog.describe(),
      declare: () => eventLog.declare('other', { partitions: 1, groups: [{ name: group }] }),
      pause: () => eventLog.setFlow(topic, group, null),
    }
    await calls[noticedBy]()
    assert.deepEqual(resets, [{ reason: 'gone', epoch: epoch + 1 }])
    assert.deepEqual(await ledgerOf(eventLog), ledger({ accepted: 7, landed: 3, waiting: 4, inFlight: 2 }))
    await eventLog.declare(topic, { partitions: 1, groups: [{ name: group }] })
    await assert.rejects(ended.settle(held.map(landed)), isOver)
    const consumer = await joinAgain(eventLog, ended)
    await consumer.settle((await takeAll(consumer)).map(landed))
    const before = await scriptsOf(server)
    const waiting = consumer.next({ ...takeSoon, maxWaitMs: 10_000 })
    await eventually(async () => assert.equal(await server.command('HGET', booksKey, 'asleep'), '$1\r\n1\r\n'))
    const beganAtMs = performance.now()
    await eventLog.append(stream(), [batchOf(['h'])])
    assert.deepEqual(idsOf(await waiting), ['h'])
    const tookMs = performance.now() - beganAtMs
    assert.ok(tookMs < 5_000, `it was woken after ${tookMs} ms`)
    const scripts = (await scriptsOf(server)) - before
    assert.ok(scripts < 50, `${scripts} scripts`)
  })
}

test('a registry that went back to before a topic was declared gets the topic again', async (t) => {
  const { server, eventLog, resets } = await openHalfDone(t)
  const { epoch } = await eventLog.describe()
  await server.command('HDEL', `${prefix}:topics`, topic)
  assert.deepEqual(await ledgerOf(eventLog), ledger({ accepted: 7, landed: 3, waiting: 4, inFlight: 2 }))
  assert.deepEqual(resets, [{ reason: 'behind', epoch: epoch + 1 }])
  const { eventLog: later } = await openLog(t, server.url)
  assert.deepEqual(await ledgerOf(later), ledger({ accepted: 7, landed: 3, waiting: 4, inFlight: 2 }))
})

async function scriptsOf(server: RedisServer): Promise<number> {
  return Number(/evalsha:calls=(\d+)/.exec(await server.command('INFO', 'commandstats'))?.[1])
}

test('next rejects with the error that prevents the new epoch', async (t) => {
  const { server, eventLog, consumer } = await openHalfDone(t)
  await server.command('FLUSHALL')
  await server.command('SET', `${prefix}:topics`, 'x')
  await assert.rejects(consumer.next(takeNow), (error) => isCode('unavailable')(error) && !isOver(error))
  await server.command('DEL', `${prefix}:topics`)
  assert.deepEqual(await takeAll(await joinAgain(eventLog, consumer)), [])
})

test('a partition whose deliveries cannot be returned does not affect those of the other partitions', async (t) => {
  const server = await startServer(t)
  const { eventLog } = await openLog(t, server.url)
  await eventLog.declare(topic, { partitions: 3, groups: [{ name: group }] })
  for (const [partition, id] of ['a', 'b', 'c'].entries()) {
    await eventLog.append(stream('normal', partition), [batchOf([id])])
  }
  const [one, two] = [
    await eventLog.consume(topic, group, { leaseMs }),
    await eventLog.consume(topic, group, { leaseMs }),
  ]
  assert.deepEqual(idsOf(await takeAll(one)).toSorted(), ['a', 'b', 'c'])
  await server.command('DEL', booksKey)
  await server.command('SET', booksKey, 'x')
  await one.close()
  assert.deepEqual(idsOf(await takeAll(two)).toSorted(), ['b', 'c'])
})

test('after FLUSHALL a waiting consumer of another process is told within 2 s, and gets what is appended then', async (t) => {
  const server = await startServer(t)
  const [ingest, worker] = [await openFirst(t, server.url), await openFirst(t, server.url)]
  const ended = await worker.eventLog.consume(topic, group, { leaseMs })
  await ingest.eventLog.append(stream(), [batchOf(['a', 'b'])])
  await ended.settle((await takeAll(ended)).map(landed))
  await ingest.eventLog.append(stream(), [batchOf(['lost'])])
  await ended.next(takeSoon)
  const waiting = ended.next({ ...takeSoon, maxWaitMs: 30_000 })
  waiting.catch(() => {})
  await eventually(async () => assert.equal(await server.command('HGET', booksKey, 'asleep'), '$1\r\n1\r\n'))
  await server.command('FLUSHALL')
  const beganAtMs = performance.now()
  await ingest.eventLog.append(stream(), [batchOf(['c'])])
  await assert.rejects(waiting, isOver)
  const consumer = await joinAgain(worker.eventLog, ended)
  assert.deepEqual(idsOf(await consumer.next(takeSoon)), ['c'])
  const tookMs = performance.now() - beganAtMs
  assert.ok(tookMs < 2_000, `${tookMs} ms`)
  const terms = { accepted: 4, landed: 2, lost: 1, waiting: 1, inFlight: 1 }
  assert.deepEqual(await ledgerOf(ingest.eventLog), ledger(terms), 'what each process knew was counted')
})

test('what is lost is unknown until a process that knew it has noticed', async (t) => {
  const server = await startServer(t)
  const one = await openFirst(t, server.url)
  await one.eventLog.declare(topic, { partitions: 1, groups: [{ name: group }, { name: 'other' }] })
  await one.eventLog.append(stream(), [batchOf(['a', 'b', 'c'])])
  const consumer = await one.eventLog.consume(topic, group, { leaseMs })
  await consumer.settle((await takeAll(consumer)).map(landed))
  await server.command('DEL', booksKey, laneKey)
  // It knows from the registry that there was a partition.
  const { eventLog } = await openLog(t, server.url)
  assert.deepEqual(await ledgerOf(eventLog), ledger({ lost: null }))
  assert.deepEqual(await ledgerOf(eventLog, 'other'), ledger({ lost: null }))
  await one.eventLog.describe()
  assert.deepEqual(await ledgerOf(eventLog), ledger({ accepted: 3, landed: 3 }))
  assert.deepEqual(await ledgerOf(eventLog, 'other'), ledger({ accepted: 3, lost: 3 }))
})
