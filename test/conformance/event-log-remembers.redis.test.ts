// What processes remember of a partition that Redis loses, also one that only read a status, and what is counted from
// it in the next epochs.

import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { eventually } from '../support/eventually.ts'
import { startFaultProxy } from '../support/fault-proxy.ts'
import { batchOf, group, idsOf, landed, ledger, ledgerOf, named, perLane, stream, topic } from './event-log-verbs.ts'
import { booksKey, copyServer, laneKey, openFirst, openLog, prefix, startServer } from './redis-log.ts'

const leaseMs = 60_000

/** Ten events of one process, of which it has settled the first ones. It is closed, and another process is started. */
async function restarted(t: TestContext, settled: number) {
  const server = await startServer(t)
  const { eventLog: first } = await openFirst(t, server.url)
  for (const id of named('e', 10)) await first.append(stream(), [batchOf([id])])
  const consumer = await first.consume(topic, group, { leaseMs })
  if (settled > 0) await consumer.settle((await take(consumer, settled)).map(landed))
  await first.close()
  return { server, ...(await openFirst(t, server.url)) }
}

type Taker = Awaited<ReturnType<Awaited<ReturnType<typeof openFirst>>['eventLog']['consume']>>

function take(consumer: Taker, events: number) {
  return consumer.next({ maxEvents: perLane(events), maxWaitMs: 0 })
}

test('a process that was restarted and has only been started counts what FLUSHALL has lost', async (t) => {
  const { server, eventLog } = await restarted(t, 6)
  await server.command('FLUSHALL')
  assert.deepEqual(await ledgerOf(eventLog), ledger({ accepted: 10, landed: 6, lost: 4 }))
})

test('a process that has read only the first entries counts all that FLUSHALL has lost', async (t) => {
  const { server, eventLog } = await restarted(t, 0)
  const consumer = await eventLog.consume(topic, group, { leaseMs })
  await consumer.settle((await take(consumer, 2)).map(landed))
  await server.command('FLUSHALL')
  assert.deepEqual(await ledgerOf(eventLog), ledger({ accepted: 10, landed: 2, lost: 8 }))
})

test('a process that has only read the status notices an old copy: no offset is assigned twice', async (t) => {
  const server = await startServer(t)
  const { eventLog: first } = await openFirst(t, server.url)
  await first.append(stream(), [batchOf(['a'])])
  const restore = await copyServer(t, server)
  for (const id of ['b', 'c', 'd']) await eventually(() => first.append(stream(), [batchOf([id])]))
  await first.close()
  const { eventLog, resets } = await openFirst(t, server.url)
  const { epoch } = await eventLog.describe()
  await restore()
  assert.deepEqual(await eventually(() => ledgerOf(eventLog)), ledger({ accepted: 4, waiting: 1, lost: 3 }))
  assert.deepEqual(resets, [{ reason: 'behind', epoch: epoch + 1 }])
  const { positions } = await eventLog.append(stream(), [batchOf(['x'])])
  assert.deepEqual(positions[0], { stream: stream(), epoch: epoch + 1, offset: 4 })
  assert.deepEqual(idsOf(await take(await eventLog.consume(topic, group, { leaseMs }), 10)), ['a', 'x'])
})

/** Events before, between and after the entries of another program, whose ids are the time; each is skipped. */
async function withForeignEntries(t: TestContext, entries = 1) {
  const server = await startServer(t)
  const { eventLog } = await openFirst(t, server.url)
  await eventLog.append(
    stream(),
    Array.from({ length: entries }, () => batchOf(['a'])),
  )
  for (const ids of [['b', 'c'], ['d']]) {
    await server.command('XADD', laneKey, '*', 'foreign', 'x')
    await eventLog.append(stream(), [batchOf(ids)])
    await server.command('XADD', laneKey, '*', 'foreign', 'x')
  }
  await eventLog.append(stream(), [batchOf(['e'])])
  const events = entries + 4
  assert.deepEqual(await ledgerOf(eventLog), ledger({ accepted: events, waiting: events }))
  return { server, eventLog }
}

test('offsets that another program has used are no events, also when the books are lost', async (t) => {
  const { server, eventLog } = await withForeignEntries(t)
  await server.command('DEL', booksKey)
  const maxWaiting = { maxEvents: 6, maxBytes: 1_000_000 }
  await eventLog.append(stream(), [batchOf(['f'])], { maxWaiting })
  assert.deepEqual(await ledgerOf(eventLog), ledger({ accepted: 6, waiting: 6 }))
  const consumer = await eventLog.consume(topic, group, { leaseMs })
  const deliveries = await take(consumer, 10)
  assert.deepEqual(idsOf(deliveries), ['a', 'b', 'c', 'd', 'e', 'f'])
  await consumer.settle(deliveries.map(landed))
  assert.deepEqual(await ledgerOf(eventLog), ledger({ accepted: 6, landed: 6 }))
})

test('offsets that another program has used are no events to a process that never knew the books', async (t) => {
  const { server, eventLog } = await withForeignEntries(t, 3000)
  await eventLog.close()
  await server.command('DEL', booksKey)
  const later = await openFirst(t, server.url)
  assert.deepEqual(await ledgerOf(later.eventLog), ledger({ accepted: 3004, waiting: 3004, lost: null }))
})

test('a partition that fails while a new epoch begins does not keep the others from it, and enters it when it can', async (t) => {
  const server = await startServer(t)
  const { eventLog } = await openLog(t, server.url)
  await eventLog.declare(topic, { partitions: 3, groups: [{ name: group }] })
  const append = (partition: number) => eventLog.append(stream('normal', partition), [batchOf([`${partition}`])])
  for (const partition of [0, 1, 2]) await append(partition)
  const { epoch } = await eventLog.describe()
  const books = `${prefix}:{${topic}/1}:books`
  await server.command('RENAME', books, `${books}:aside`)
  await server.command('SET', books, 'broken')
  await server.command('DEL', booksKey)
  for (const partition of [0, 2]) assert.equal((await append(partition)).positions[0]?.epoch, epoch + 1)
  await assert.rejects(append(1))
  await server.command('RENAME', `${books}:aside`, books)
  assert.deepEqual((await append(1)).positions[0], { stream: stream('normal', 1), epoch: epoch + 1, offset: 1 })
  assert.deepEqual(await ledgerOf(eventLog), ledger({ accepted: 6, waiting: 6 }))
})

test('a process that reads old entries still notices that the offset of its last append was assigned again', async (t) => {
  const server = await startServer(t)
  const proxy = await startFaultProxy(t, () => `127.0.0.1:${server.port}`)
  const one = await openFirst(t, `redis://${proxy.address}`)
  await one.eventLog.append(stream(), [batchOf(['old'])])
  const restore = await copyServer(t, server)
  await eventually(() => one.eventLog.append(stream(), [batchOf(['lost'])]))
  const ended = await one.eventLog.consume(topic, group, { leaseMs })
  assert.deepEqual(idsOf(await take(ended, 1)), ['old'])
  proxy.refuse = true
  proxy.cut()
  await restore()
  const other = await openFirst(t, server.url)
  await other.eventLog.append(stream(), [batchOf(['other']), batchOf(['more'])])
  proxy.heal()
  await eventually(() => one.eventLog.append(stream(), [batchOf(['x'])]))
  assert.deepEqual(
    one.resets.map(({ reason }) => reason),
    ['different'],
  )
})

test('the ledger of a group that was declared before all processes had noticed a loss adds up', async (t) => {
  const server = await startServer(t)
  const [one, other] = [await openFirst(t, server.url), await openFirst(t, server.url)]
  await one.eventLog.append(stream(), [batchOf(['a'])])
  for (const id of named('b', 9)) await other.eventLog.append(stream(), [batchOf([id])])
  await server.command('FLUSHALL')
  await one.eventLog.describe()
  await one.eventLog.declare(topic, { partitions: 1, groups: [{ name: group }, { name: 'late' }] })
  await one.eventLog.append(stream(), [batchOf(['c'])])
  await other.eventLog.describe()
  assert.deepEqual(await ledgerOf(one.eventLog), ledger({ accepted: 11, waiting: 1, lost: 10 }))
  // To a group that did not exist yet, what was lost is nothing that it had accepted.
  assert.deepEqual(await ledgerOf(one.eventLog, 'late'), ledger({ accepted: 1, waiting: 1 }))
})

test('a loss that is unknown stays unknown in later epochs, until a process that knew what was there has noticed', async (t) => {
  const { server, eventLog: knowing } = await restarted(t, 6)
  await server.command('DEL', booksKey, laneKey)
  const { eventLog } = await openFirst(t, server.url)
  assert.deepEqual(await ledgerOf(eventLog), ledger({ lost: null }))
  for (const key of [`${prefix}:topics`, booksKey]) {
    await eventLog.append(stream(), [batchOf(['x'])])
    await server.command('DEL', key)
    assert.equal((await ledgerOf(eventLog)).lost, null, `without ${key}`)
  }
  await server.command('FLUSHALL')
  assert.equal((await ledgerOf(eventLog)).lost, null, 'without everything')
  await knowing.describe()
  const { accepted, reopened, waiting, landed: landedEvents, lost } = await ledgerOf(eventLog)
  assert.deepEqual([accepted, reopened, waiting, landedEvents, lost], [10, 0, 0, 6, 4])
})
