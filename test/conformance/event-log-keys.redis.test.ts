// What other programs do to the keys of the log: it is survived and counted, or refused with the commands that cure it.

import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { MillraceError } from '../../src/errors.ts'
import type { LogHealth } from '../../src/event-log/event-log.ts'
import { inspectRedis } from '../../src/event-log/redis/inspect-redis.ts'
import { openRedisLog } from '../../src/event-log/redis/open-redis-log.ts'
import { cleanup } from '../support/cleanup.ts'
import { eventually } from '../support/eventually.ts'
import { asLimitedUser } from '../support/redis-user.ts'
import {
  batchOf,
  group,
  idsOf,
  landed,
  ledger,
  ledgerOf,
  perLane,
  stream,
  take,
  takeAll,
  topic,
} from './event-log-verbs.ts'
import { isOver, joinAgain, laneKey, openFirst, openLog, prefix, rawClient, startServer } from './redis-log.ts'

const leaseMs = 60_000
const isCode = (code: string) => (error: unknown) => error instanceof MillraceError && error.code === code
const logger = { info() {}, warn() {} }

/** A log with two groups, of which the first has read everything; with its latest health. */
async function open(t: TestContext) {
  const server = await startServer(t)
  const healths: LogHealth[] = []
  const url = asLimitedUser(server.url)
  const options = { url, prefix, logger, now: Date.now, elapsedMs: () => performance.now(), checkEveryMs: 100 }
  const openOne = async () => {
    const eventLog = await openRedisLog({ ...options, onHealth: (health) => healths.push(health) })
    cleanup(t, () => eventLog.close())
    return eventLog
  }
  const eventLog = await openOne()
  await eventLog.declare(topic, { partitions: 1, groups: [{ name: group }, { name: 'slow' }] })
  await eventLog.append(stream(), [batchOf(['a']), batchOf(['b'])])
  const consumer = await eventLog.consume(topic, group, { leaseMs })
  await consumer.settle((await takeAll(consumer)).map(landed))
  const doctor = async () =>
    (await inspectRedis({ url, prefix, durability: { level: 'broker' }, isDiskTrusted: false })).problem
  const problem = () => healths.at(-1)?.problem ?? null
  return { server, eventLog, openOne, consumer, doctor, problem, checks: () => healths.length }
}

const raised = {
  'an entry that was removed again': [
    ['XADD', laneKey, '9000000000000-0', 'f', 'v'],
    ['XDEL', laneKey, '9000000000000-0'],
    ['take'],
  ],
  'an entry that a group had read before it was removed': [
    ['XADD', laneKey, '9000000000000-0', 'f', 'v'],
    ['take'],
    ['XDEL', laneKey, '9000000000000-0'],
  ],
  XSETID: [['XSETID', laneKey, '9000000000000-0'], ['take']],
}
for (const [what, commands] of Object.entries(raised)) {
  test(`a lane whose last id was raised by ${what} refuses appends with the commands that cure it`, async (t) => {
    const { server, eventLog, openOne, consumer, doctor, problem } = await open(t)
    for (const words of commands) {
      if (words[0] !== 'take') {
        await server.command(...words)
        continue
      }
      // It reads all lanes.
      await eventLog.append(stream('high'), [batchOf(['x'])])
      await consumer.settle((await take(consumer)).map(landed))
    }
    const refusal = await eventLog.append(stream(), [batchOf(['c'])]).catch((error) => error as MillraceError)
    assert.ok(isCode('durability_lost')(refusal), String(refusal))
    assert.match(String(refusal), /equal or smaller than the target stream top item/)
    const [cure = ''] = /XSETID .*$/.exec(String(refusal)) ?? []
    assert.equal(cure.includes('XGROUP SETID'), what.includes('read'), cure)
    await eventLog.append(stream('high'), [batchOf(['h'])])
    assert.deepEqual(await ledgerOf(eventLog), ledger({ accepted: 4, landed: 3, waiting: 1 }))

    // Also after a restart, before anything is appended.
    const later = await openOne()
    const health = problem()
    assert.deepEqual([health?.reason, health?.answersAppends, health?.delivers], ['durability_lost', true, true])
    for (const text of [health?.message, await doctor()]) assert.ok(text?.includes(cure), text ?? 'no problem')

    for (const command of cure.split('; ')) assert.match(await server.command(...command.split(' ')), /OK/)
    assert.equal(await doctor(), null)
    await eventually(() => assert.equal(problem(), null))
    await eventLog.append(stream(), [batchOf(['d'])])
    await later.append(stream(), [batchOf(['e'])])
    assert.deepEqual(idsOf(await takeAll(consumer)), ['h', 'd', 'e'])
    const slow = await eventLog.consume(topic, 'slow', { leaseMs })
    assert.deepEqual(idsOf(await takeAll(slow)), ['x', 'h', 'a', 'b', 'd', 'e'])
    assert.deepEqual(await ledgerOf(eventLog), ledger({ accepted: 6, landed: 3, waiting: 3, inFlight: 3 }))
  })
}

test('a lane that was blocked and is no stream any more stops no other appends', async (t) => {
  const { server, eventLog, checks, problem } = await open(t)
  await server.command('XSETID', laneKey, '9000000000000-0')
  await assert.rejects(eventLog.append(stream(), [batchOf(['c'])]), isCode('durability_lost'))
  await server.command('DEL', laneKey)
  await server.command('SET', laneKey, 'x')
  const before = checks()
  await eventually(() => assert.ok(checks() > before + 2))
  await eventLog.append(stream('high'), [batchOf(['h'])])
  assert.match(problem()?.message ?? '', new RegExp(`${laneKey} refuses every append`.replace(/[{}]/g, '\\$&')))
})

test('an entry of another program is no event, whether it is read before the next append or after it', async (t) => {
  const { server, eventLog, consumer } = await open(t)
  await server.command('XADD', laneKey, '*', 'a', 'b')
  assert.deepEqual(await take(consumer), [])
  assert.deepEqual(await ledgerOf(eventLog), ledger({ accepted: 2, landed: 2 }))
  await eventLog.append(stream(), [batchOf(['c'])])
  await server.command('XADD', laneKey, '*', 'a', 'b')
  await server.command('XADD', laneKey, '*', 'r', '1', 'b', 'x')
  await eventLog.append(stream(), [batchOf(['d'])])
  const again = await joinAgain(eventLog, consumer, leaseMs)
  assert.deepEqual(idsOf(await takeAll(again)), ['c', 'd'])
  assert.deepEqual(await ledgerOf(eventLog), ledger({ accepted: 4, landed: 2, waiting: 2, inFlight: 2 }))
  const slow = await eventLog.consume(topic, 'slow', { leaseMs })
  const all = await takeAll(slow)
  assert.deepEqual(idsOf(all), ['a', 'b', 'c', 'd'])
  await slow.settle(all.map(landed))
  assert.deepEqual(await ledgerOf(eventLog, 'slow'), ledger({ accepted: 4, landed: 4 }))
  await eventLog.declare(topic, { partitions: 1, groups: [{ name: 'new' }] })
  assert.deepEqual(await ledgerOf(eventLog, 'new'), ledger({ accepted: 4, waiting: 4 }))
})

test('an entry with an id that leaves no room for offsets is refused with its cure', async (t) => {
  const { server, eventLog, consumer } = await open(t)
  await server.command('XADD', laneKey, '18446744073709551615-1', 'a', 'b')
  const refusal = await eventLog.append(stream(), [batchOf(['c'])]).catch((error) => error as MillraceError)
  assert.ok(isCode('durability_lost')(refusal), String(refusal))
  assert.deepEqual(await take(consumer), [])
  assert.deepEqual(await ledgerOf(eventLog), ledger({ accepted: 2, landed: 2 }))
  const [cure = ''] = /XDEL .*$/.exec(String(refusal)) ?? []
  for (const command of cure.split('; ')) assert.match(await server.command(...command.split(' ')), /OK|:1/)
  await eventLog.append(stream(), [batchOf(['d'])])
  assert.deepEqual(idsOf(await take(consumer)), ['d'])
})

test('when another database is swapped in, what waited is counted as lost, and the log continues', async (t) => {
  const server = await startServer(t)
  const { eventLog } = await openFirst(t, server.url)
  const ended = await eventLog.consume(topic, group, { leaseMs })
  await eventLog.append(stream(), [batchOf(['a', 'b']), batchOf(['c'])])
  const [first] = await take(ended)
  await ended.settle([landed(first!)])
  await server.command('SWAPDB', '0', '1')
  await assert.rejects(ended.next({ maxEvents: perLane(1), maxWaitMs: 0 }), isOver)
  await eventLog.append(stream(), [batchOf(['d'])])
  const consumer = await joinAgain(eventLog, ended)
  assert.deepEqual(idsOf(await take(consumer)), ['d'])
  assert.deepEqual(await ledgerOf(eventLog), ledger({ accepted: 4, landed: 2, lost: 1, waiting: 1, inFlight: 1 }))
})

test('a log of another layout is refused, and nothing is written', async (t) => {
  const server = await startServer(t)
  const client = await rawClient(t, server)
  await client.sendCommand(['HSET', `${prefix}:topics`, '\0\0epoch', '7'])
  const topics = await server.command('HGETALL', `${prefix}:topics`)
  await assert.rejects(openLog(t, server.url), (error) => {
    return (
      isCode('failed_precondition')(error) &&
      /has layout 1, and this version of Millrace uses layout 3/.test(String(error))
    )
  })
  assert.equal(await server.command('HGETALL', `${prefix}:topics`), topics)
  assert.match(await server.command('DBSIZE'), /:1/)
})
