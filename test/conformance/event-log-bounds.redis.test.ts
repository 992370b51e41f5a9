// Large amounts on Redis: the leftovers of thousands of consumers are taken over and counted piece by piece, so that
// neither the server nor the process hangs.

import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import type { Delivery, EventLog } from '../../src/event-log/event-log.ts'
import { RedisKeys } from '../../src/event-log/redis/redis-keys.ts'
import { readScripts } from '../../src/event-log/redis/scripts/redis-scripts.ts'
import { cleanup } from '../support/cleanup.ts'
import { samples } from '../support/depth.ts'
import { eventually } from '../support/eventually.ts'
import { startTcpRelay } from '../support/tcp-relay.ts'
import {
  again,
  batchOf,
  describeGroup,
  group,
  idsIn,
  landed,
  ledger,
  ledgerOf,
  named,
  perLane,
  stream,
  take,
  takeAll,
  topic,
} from './event-log-verbs.ts'
import { booksKey, laneKey, openFirst, openLog, prefix, rawClient, startServer } from './redis-log.ts'

/** Measured in CPU time: on a machine with other load, wall-clock time proves nothing. */
const maxStallMs = 100

const leaseMs = 300
const takeSoon = { maxEvents: perLane(1000), maxWaitMs: 5_000 }

/** The returned check fails when the process has blocked its event loop for too long. */
function watchStalls(t: TestContext): () => void {
  let longestMs = 0
  let last = process.threadCpuUsage()
  const timer = setInterval(() => {
    const now = process.threadCpuUsage()
    longestMs = Math.max(longestMs, (now.user + now.system - last.user - last.system) / 1000)
    last = now
  }, 1)
  cleanup(t, () => clearInterval(timer))
  return () => {
    assert.ok(longestMs < maxStallMs, `the process blocked for ${longestMs} ms`)
  }
}

async function appendMany(eventLog: EventLog, count: number): Promise<void> {
  for (let from = 0; from < count; from += 1000) {
    const ids = Array.from({ length: Math.min(1000, count - from) }, (_, index) => `e${from + index}`)
    await eventLog.append(
      stream(),
      ids.map((id) => batchOf([id])),
    )
  }
}

test('entries by the thousand that a dead consumer held are taken over in pages, each entry once', async (t) => {
  // More than an audit walks at once.
  const count = samples(20_001, 30_000)
  const server = await startServer(t)
  const relay = await startTcpRelay(server.port)
  cleanup(t, () => relay.close())
  const [dead, { eventLog }] = [await openFirst(t, relay.url), await openLog(t, server.url)]
  await appendMany(eventLog, count)
  const dying = await dead.eventLog.consume(topic, group, { leaseMs })
  assert.equal((await takeAll(dying)).length, count)
  await relay.close()

  const refuseStalls = watchStalls(t)
  const consumer = await eventLog.consume(topic, group, { leaseMs })
  const seen = new Map<string, number>()
  while (seen.size < count) {
    const deliveries: readonly Delivery[] = await consumer.next(takeSoon)
    assert.ok(deliveries.length > 0, `${seen.size} came`)
    for (const delivery of deliveries) {
      const [id] = idsIn(delivery)
      assert.ok(!seen.has(id!), `${id} was delivered twice`)
      seen.set(id!, delivery.attempt)
    }
  }
  assert.deepEqual(new Set(seen.values()), new Set([2]))
  const terms = { accepted: count, waiting: count, inFlight: count }
  assert.deepEqual(await ledgerOf(eventLog), ledger({ ...terms, auditedWaiting: null }), 'too many to audit')
  await eventLog.setFlow(topic, group, { paused: 'to be counted' })
  const { topics } = await eventLog.describe({ auditsPaused: true })
  assert.equal(topics[0]?.groups[0]?.auditedWaiting, count)
  refuseStalls()
})

test('the deliveries of hundreds of dead consumers are taken over, and then the consumers are removed', async (t) => {
  const server = await startServer(t)
  const relay = await startTcpRelay(server.port)
  cleanup(t, () => relay.close())
  const [dead, { eventLog }] = [await openFirst(t, relay.url), await openLog(t, server.url)]
  await appendMany(eventLog, 300)
  for (let number = 0; number < 300; number++) {
    const dying = await dead.eventLog.consume(topic, group, { leaseMs })
    assert.equal((await take(dying, 1)).length, 1)
  }
  await relay.close()
  const client = await rawClient(t, server)
  const consumer = await eventLog.consume(topic, group, { leaseMs })
  const all: Delivery[] = []
  await eventually(async () => {
    all.push(...(await take(consumer)))
    assert.equal(all.length, 300)
  })
  assert.deepEqual(await consumer.settle(all.map(landed)), [])
  assert.deepEqual(await ledgerOf(eventLog), ledger({ accepted: 300, landed: 300 }))
  const left = (await client.sendCommand(['XINFO', 'CONSUMERS', laneKey, group])) as unknown as readonly unknown[]
  assert.ok(left.length <= 2, `${left.length} consumers`)
})

test('a dead consumer without deliveries is removed too, and one that is alive is recreated', async (t) => {
  const server = await startServer(t)
  const { eventLog } = await openFirst(t, server.url)
  const client = await rawClient(t, server)
  const scripts = await import('../../src/event-log/redis/scripts/redis-scripts.ts')
  const { RedisKeys } = await import('../../src/event-log/redis/redis-keys.ts')
  const keys = new RedisKeys(prefix).partition(topic, 0).forGroup(group)
  const consumer = await eventLog.consume(topic, group, { leaseMs })
  const holder = await eventLog.consume(topic, group, { leaseMs })
  await eventLog.append(stream(), [batchOf(['a'])])
  const [held] = await take(holder)
  await eventLog.append(stream(), [batchOf(['b'])])
  await consumer.settle((await take(consumer)).map(landed))
  const names = async () => {
    const all = (await client.sendCommand(['XINFO', 'CONSUMERS', laneKey, group])) as unknown as [unknown, Buffer][]
    return all.map((facts) => String(facts[1])).sort()
  }
  assert.equal((await names()).length, 2)
  const { epoch } = await eventLog.describe()
  const { text } = scripts.readScripts().owners
  // As if the consumer had not polled for a long time.
  const answer = await client.sendCommand([
    'EVAL',
    text,
    String(keys.length),
    ...keys,
    group,
    '0',
    '0',
    '9',
    `${epoch} 0 0 0`,
  ])
  assert.deepEqual((answer as unknown as Buffer[]).slice(1).map(String), await names())
  assert.equal((await names()).length, 1)
  await eventLog.append(stream(), [batchOf(['c'])])
  const [next] = await take(consumer)
  assert.deepEqual(await consumer.settle([landed(next!)]), [])
  assert.deepEqual(await holder.settle([landed(held!)]), [])
})

for (const kind of ['returned', "in the group's own stream"] as const) {
  test(`of thousands of removed entries that were ${kind}, one poll counts a bounded number, and the next continues at once`, async (t) => {
    const count = 5_000
    const server = await startServer(t)
    const { eventLog } = await openFirst(t, server.url)
    const client = await rawClient(t, server)
    const first = await eventLog.consume(topic, group, { leaseMs: 60_000 })
    await appendMany(eventLog, count)
    const all = await takeAll(first)
    if (kind === "in the group's own stream") await first.settle(all.map((delivery) => again(delivery, 0)))
    await first.close()
    await server.command('XTRIM', laneKey, 'MAXLEN', '0')
    await server.command('DEL', `${prefix}:{${topic}/0}:again:${group}`)
    await eventLog.append(stream('low'), [batchOf(['z'])])
    const keys = new RedisKeys(prefix).partition(topic, 0).forGroup(group)
    const { epoch } = await eventLog.describe()
    const room = ['1000', '0', '1000', '0', '1000', '0']
    const args = [...[group, 'someone', String(Date.now()), '100000', '0'], ...room, '9', `${epoch} 0 0 0`]
    const { text } = readScripts().take
    const answer = await client.sendCommand(['EVAL', text, String(keys.length), ...keys, ...args])
    assert.deepEqual((answer as unknown as unknown[]).slice(0, 2), [[], [0, 1, 0]], 'there is more')
    const { lost } = await describeGroup(eventLog)
    assert.ok(lost !== null && lost > 0 && lost <= 1000, `${lost} were counted`)
    const consumer = await eventLog.consume(topic, group, { leaseMs: 60_000 })
    const deliveries = await consumer.next(takeSoon)
    assert.deepEqual(deliveries.flatMap(idsIn), ['z'])
    await consumer.settle(deliveries.map(landed))
    assert.deepEqual(await ledgerOf(eventLog), ledger({ accepted: count + 1, landed: 1, lost: count }))
  })
}

test('the audit counts in pages what exceeds one script, and agrees with the counters while the log is in use', async (t) => {
  const server = await startServer(t)
  const { eventLog } = await openFirst(t, server.url)
  const consumer = await eventLog.consume(topic, group, { leaseMs: 60_000 })
  await appendMany(eventLog, 6_000)
  const all = await takeAll(consumer)
  const put = all.splice(0, 2_500).map((delivery) => {
    const again = [{ batch: delivery.batch, attempt: 1, dueAtMs: 0 }]
    return { delivery, landed: 0, dead: 0, again }
  })
  await consumer.settle(put)
  const held: Delivery[] = []
  while (held.length < 1500) held.push(...(await take(consumer, 500)))
  await appendMany(eventLog, 500)
  const terms = { accepted: 6_500, waiting: 6_500, inFlight: 3_500 + held.length }
  assert.deepEqual(await ledgerOf(eventLog), ledger(terms))
  assert.equal((await describeGroup(eventLog)).oldestWaitingMicros, 1_700_000_000_000_000)

  await server.command('HINCRBY', booksKey, `waiting:${group}`, '7')
  assert.deepEqual(
    await ledgerOf(eventLog),
    { ...ledger(terms), waiting: 6_507 },
    'the audit counts the entries that exist',
  )
  await server.command('HINCRBY', booksKey, `waiting:${group}`, '-7')

  const working = (async () => {
    for (let from = 0; from < all.length; from += 50) await consumer.settle(all.slice(from, from + 50).map(landed))
  })()
  for (let looks = 0; looks < 10; looks++) {
    const { waiting, auditedWaiting } = await ledgerOf(eventLog)
    assert.equal(auditedWaiting, waiting)
  }
  await working
  assert.deepEqual(
    await ledgerOf(eventLog),
    ledger({ accepted: 6_500, landed: 3_500, waiting: 3_000, inFlight: held.length }),
  )
})

test("a consumer that closes returns all its deliveries of the group's own stream, among many held by others", async (t) => {
  const server = await startServer(t)
  const { eventLog } = await openFirst(t, server.url)
  const [one, other] = [
    await eventLog.consume(topic, group, { leaseMs: 60_000 }),
    await eventLog.consume(topic, group, { leaseMs: 60_000 }),
  ]
  await eventLog.reopen(
    stream(),
    group,
    named('a', 1000).map((id) => ({ batch: batchOf([id]), attempt: 0, offset: 0 })),
  )
  await eventLog.reopen(
    stream(),
    group,
    named('b', 1000).map((id) => ({ batch: batchOf([id]), attempt: 0, offset: 0 })),
  )
  const [ones, others] = [await take(one, 700), await takeAll(other)]
  assert.deepEqual([ones.length, others.length], [700, 1300])
  await one.close()
  assert.equal((await ledgerOf(eventLog)).inFlight, 1300)
  const back = await takeAll(other)
  assert.equal(back.length, 700)
  assert.ok(back.every(({ attempt }) => attempt === 1))
})

test('a topic with 9,000 groups takes appends, and each is stored once', async (t) => {
  const server = await startServer(t)
  const { eventLog, resets } = await openLog(t, server.url)
  await eventLog.declare(topic, { partitions: 1, groups: named('g', 9_000).map((name) => ({ name })) })
  for (const offset of [0, 1]) {
    const { positions } = await eventLog.append(stream(), [batchOf(['a'])])
    assert.equal(positions[0]?.offset, offset)
  }
  assert.match(await server.command('XLEN', laneKey), /:2/)
  assert.match(await server.command('HGET', booksKey, 'waiting:g8999'), /\n2/)
  assert.deepEqual(resets, [])
})
