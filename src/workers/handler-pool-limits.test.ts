import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { eventually, within } from '../../test/support/eventually.ts'
import { batchPoolOf, poolOf } from './handler-pool.test-support.ts'

const named = (count: number) => Array.from({ length: count }, (_, at) => `e${at}`)

test('no more events are at work than groupConcurrency, in two pools together, and both work', async (t) => {
  let [atWork, most] = [0, 0]
  const { start, publish, waiting } = await poolOf(t, {
    groupConcurrency: 3,
    handle: async () => {
      most = Math.max(most, ++atWork)
      await sleep(5)
      atWork--
    },
  })
  const pools = [await start(), await start()]
  for (let from = 0; from < 100; from += 20) await publish(...named(20))
  await eventually(async () => assert.equal(await waiting(), 0))
  assert.equal(most, 3)
  for (const pool of pools) await pool.close(1000)
})

test('the events of batches count one by one', async (t) => {
  let [atWork, most] = [0, 0]
  const { start, publish, waiting } = await batchPoolOf(t, {
    groupConcurrency: 5,
    batch: { maxEvents: 3, maxWaitMs: 1 },
    handle: async (events) => {
      atWork += events.length
      most = Math.max(most, atWork)
      await sleep(5)
      atWork -= events.length
    },
  })
  await start()
  await start()
  for (let from = 0; from < 60; from += 3) await publish(...named(3))
  await eventually(async () => assert.equal(await waiting(), 0))
  assert.ok(most <= 5 && most >= 3, `${most} events were at work at once`)
})

test('permits that are not used are given back, and what waits for permits begins when there are some', async (t) => {
  const begun: string[] = []
  const { start, publish, permits, waiting } = await poolOf(t, {
    groupConcurrency: 2,
    handle: ({ id }) => {
      begun.push(id)
    },
  })
  const pool = await start()
  await publish('a')
  await eventually(async () => assert.equal(await waiting(), 0))
  const others = await permits()
  await eventually(async () => assert.equal((await others.take(2, 2)).taken, 2))
  others.begin(2)
  await publish('b')
  await eventually(() => assert.equal(pool.state.reason, '2 of 2 permits of the group are taken'))
  assert.deepEqual(begun, ['a'])
  others.end(1)
  await others.take(0)
  await eventually(async () => assert.equal(await waiting(), 0))
  assert.deepEqual(begun, ['a', 'b'])
})

test('a stop returns what waits for permits, with its attempt', async (t) => {
  const attempts: number[] = []
  const { start, publish, permits, waiting, inFlight } = await poolOf(t, {
    groupConcurrency: 2,
    handle: (_, { attempt }) => {
      attempts.push(attempt)
    },
  })
  const pool = await start()
  // The pool reads with no permit in hand: those that it had were given back.
  await sleep(150)
  const others = await permits()
  await others.take(2)
  others.begin(2)
  await publish('a')
  await eventually(async () => assert.equal(await inFlight(), 1))
  await within(2000, 'the stop', pool.close(5000))
  assert.deepEqual([await waiting(), await inFlight(), attempts], [1, 0, []])
  others.end(2)
  await others.close()
  await start()
  await eventually(async () => assert.equal(await waiting(), 0))
  assert.deepEqual(attempts, [1])
})

test('a group that is deleted while calls wait for permits is recreated, and goes on', async (t) => {
  let done = 0
  const { start, publish, permits, waiting, deleteGroup } = await poolOf(t, {
    groupConcurrency: 2,
    handle: () => {
      done++
    },
  })
  const pool = await start()
  const others = await permits()
  await eventually(async () => assert.equal((await others.take(2, 2)).taken, 2))
  others.begin(2)
  await publish('a')
  await eventually(() => assert.notEqual(pool.state.reason, null))
  await deleteGroup()
  await eventually(() => assert.ok(done > 0))
  await eventually(async () => assert.equal(await waiting(), 0))
})

test('no more events of a key are at work than limitPerKey; the others wait, and keep no other key waiting', async (t) => {
  const atWork = new Map<string, number>()
  const most = new Map<string, number>()
  const failed = new Set<string>()
  const { start, publishEvents, waiting } = await poolOf(t, {
    limitPerKey: 2,
    concurrency: 12,
    retry: { initialDelayMs: 5 },
    handle: async ({ id, key }) => {
      const now = (atWork.get(key) ?? 0) + 1
      atWork.set(key, now)
      most.set(key, Math.max(most.get(key) ?? 0, now))
      await sleep(5)
      atWork.set(key, atWork.get(key)! - 1)
      if (failed.size < 20 && !failed.has(id)) {
        failed.add(id)
        throw new Error('its first attempt fails')
      }
    },
  })
  const pools = [await start(), await start()]
  const many = Array.from({ length: 60 }, (_, at) => ({ id: `many${at}`, type: 'a', key: 'many' }))
  for (let from = 0; from < 60; from += 6) await publishEvents(many.slice(from, from + 6))
  await publishEvents(['x', 'y', '', '', '', ''].map((key, at) => ({ id: `few${at}`, type: 'a', key })))
  await eventually(() => assert.ok(most.has('x') && most.has('y')))
  await eventually(async () => assert.equal(await waiting(), 0))
  assert.deepEqual([most.get('many'), most.get('x')], [2, 1])
  assert.ok(most.get('')! > 2, 'an event without a key has no limit')
  for (const pool of pools) await pool.close(1000)
})

test('the three limits hold together, in batches too, and a stop returns what waits', async (t) => {
  const begun: { readonly key: string; readonly ms: number }[] = []
  const atWork: string[] = []
  const most = { group: 0, key: 0 }
  const { start, publishEvents, waiting } = await batchPoolOf(t, {
    ...{ groupConcurrency: 4, ratePerSecond: 30, limitPerKey: 2, batch: { maxEvents: 3, maxWaitMs: 1 } },
    handle: async (events) => {
      for (const { key } of events) {
        begun.push({ key, ms: performance.now() })
        atWork.push(key)
        most.key = Math.max(most.key, atWork.filter((one) => one === key).length)
      }
      most.group = Math.max(most.group, atWork.length)
      await sleep(5)
      for (const { key } of events) atWork.splice(atWork.indexOf(key), 1)
    },
  })
  const first = await start()
  const events = Array.from({ length: 60 }, (_, at) => ({ id: `e${at}`, type: 'a', key: `k${at % 2}` }))
  for (let from = 0; from < 60; from += 6) await publishEvents(events.slice(from, from + 6))
  await eventually(() => assert.ok(begun.length > 10))
  await within(2000, 'the stop', first.close(5000))
  await start()
  await eventually(async () => assert.equal(await waiting(), 0))
  assert.deepEqual([begun.length, most.key], [60, 2])
  assert.ok(most.group <= 4, `${most.group} events were at work at once`)
  const inSecond = begun.map(({ ms }, at) => begun.slice(at).filter((one) => one.ms < ms + 1000).length)
  assert.ok(Math.max(...inSecond) <= 30, `${Math.max(...inSecond)} events began within a second`)
})
