// Handlers that take the events of each key in order.

import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { samples } from '../../test/support/depth.ts'
import { eventually, within } from '../../test/support/eventually.ts'
import { type SeededRandom, seededRandom } from '../../test/support/random.ts'
import { type HandlerOptions, retry } from './define-handler.ts'
import { batchPoolOf, poolOf } from './handler-pool.test-support.ts'

interface KeyedEvent {
  readonly id: string
  readonly key: string
}

/** Events of some keys, each numbered within its key, in messages of some events. */
function messagesOf(random: SeededRandom, keys: number, count: number, maxEvents: number): KeyedEvent[][] {
  const numbers = new Map<string, number>()
  const events = Array.from({ length: count }, () => {
    const key = `k${random.between(0, keys - 1)}`
    const number = numbers.get(key) ?? 0
    numbers.set(key, number + 1)
    return { id: `${key} ${number}`, key }
  })
  const messages: KeyedEvent[][] = []
  while (events.length > 0) messages.push(events.splice(0, random.between(1, maxEvents)))
  return messages
}

/** An ordered pool whose handler does some work, and the order in which the events of each key were done. */
async function orderedPool(t: TestContext, random: SeededRandom, options: Partial<HandlerOptions> = {}) {
  const done = new Map<string, string[]>()
  const atWork = new Set<string>()
  const together: string[] = []
  let most = 0
  const pool = await poolOf(t, {
    ordered: true,
    concurrency: 8,
    retry: { maxAttempts: 1000, initialDelayMs: 1, maxDelayMs: 20 },
    async handle({ id, key }) {
      if (atWork.has(key)) together.push(id)
      atWork.add(key)
      most = Math.max(most, atWork.size)
      await sleep(random.between(0, 3))
      atWork.delete(key)
      if (random.between(1, 100) <= 20) return retry({ afterMs: random.between(0, 20) })
      const ids = done.get(key) ?? []
      if (!ids.includes(id)) done.set(key, [...ids, id])
      return undefined
    },
    ...options,
  })
  const check = (messages: readonly (readonly KeyedEvent[])[]) => {
    const events = messages.flat()
    for (const [key, own] of Map.groupBy(events, (event) => event.key)) {
      assert.deepEqual(
        done.get(key),
        own.map(({ id }) => id),
      )
    }
    assert.deepEqual(together, [], 'events of one key that were at work together')
    assert.ok(most > 1, 'keys go side by side')
  }
  return { ...pool, check }
}

test('the events of each key are done in order, while some fail and two pools compete', async (t) => {
  for (let round = 0; round < samples(2, 100); round++) {
    const random = seededRandom(t)
    const { start, publishEvents, waiting, check } = await orderedPool(t, random)
    const messages = messagesOf(random, random.between(2, 12), 300, random.between(1, 40))
    const pools = [await start(), await start()]
    for (const message of messages) {
      await publishEvents(message.map((event) => ({ ...event, type: 'order' })))
      if (random.between(1, 10) === 1) await sleep(random.between(1, 10))
    }
    await eventually(async () => assert.equal(await waiting(), 0), { withinMs: 20_000 })
    for (const pool of pools) await pool.close(1000)
    check(messages)
  }
})

test('the order is kept when pools stop in between, also those that must not finish', async (t) => {
  for (let round = 0; round < samples(1, 50); round++) {
    const random = seededRandom(t)
    const { start, publishEvents, waiting, check } = await orderedPool(t, random)
    const messages = messagesOf(random, 6, 200, 20)
    for (const message of messages) await publishEvents(message.map((event) => ({ ...event, type: 'order' })))
    while ((await waiting()) !== 0) {
      const pool = await start()
      await sleep(random.between(5, 60))
      await pool.close(random.between(0, 1) * 50)
    }
    check(messages)
  }
})

test('a failing event holds its key only, and the others of its key come after it', async (t) => {
  const done: string[] = []
  let fails = true
  const { start, publishEvents, waiting, heldKeys } = await poolOf(t, {
    ordered: true,
    retry: { maxAttempts: 1000, initialDelayMs: 20, maxDelayMs: 20 },
    handle: ({ id }) => {
      if (id === 'a0' && fails) throw new Error('not yet')
      done.push(id)
    },
  })
  const events = Array.from({ length: 60 }, (_, at) => ({ type: 'order', key: 'abc'[at % 3]!, at: Math.floor(at / 3) }))
  const messages = [events.slice(0, 30), ...events.slice(30).map((event) => [event])]
  for (const message of messages) {
    await publishEvents(message.map(({ type, key, at }) => ({ type, key, id: `${key}${at}` })))
  }
  await publishEvents([{ id: 'no key', type: 'order' }])
  const pool = await start()
  await eventually(async () => assert.deepEqual([done.length, await waiting()], [41, 20]))
  const [held, ...others] = await heldKeys()
  assert.deepEqual([held!.key, held!.events, others], ['a', 20, []])
  assert.ok(done.includes('no key'))
  fails = false
  await eventually(async () => assert.equal(await waiting(), 0))
  await pool.close(1000)
  const inOrder = Array.from({ length: 20 }, (_, at) => `a${at}`)
  assert.deepEqual(
    done.filter((id) => id.startsWith('a')),
    inOrder,
  )
})

test('the events of a batch have different keys', async (t) => {
  const random = seededRandom(t)
  const calls: string[][] = []
  const { start, publishEvents, waiting } = await batchPoolOf(t, {
    ordered: true,
    batch: { maxEvents: 10, maxWaitMs: 5 },
    handle: (events) => void calls.push(events.map(({ id }) => id)),
  })
  const events = messagesOf(random, 4, 100, 100).flat()
  await publishEvents(events.map((event) => ({ ...event, type: 'order' })))
  const pool = await start()
  await eventually(async () => assert.equal(await waiting(), 0))
  await pool.close(1000)
  const keysOf = (ids: readonly string[]) => new Set(ids.map((id) => id.split(' ')[0]))
  for (const ids of calls) assert.equal(keysOf(ids).size, ids.length)
  const ofKey = (ids: readonly string[]) => ids.filter((id) => id.startsWith('k0 '))
  assert.deepEqual(ofKey(calls.flat()), ofKey(events.map(({ id }) => id)))
})

test('while a slow key fills the hand, nothing more is taken, and the state says why', async (t) => {
  const gate = Promise.withResolvers<void>()
  const done: string[] = []
  const { start, publishEvents, waiting } = await poolOf(t, {
    ordered: true,
    async handle({ id, key }) {
      if (key === 'slow') await gate.promise
      done.push(id)
    },
  })
  const slow = Array.from({ length: 1000 }, (_, at) => ({ id: `s${at}`, key: 'slow', type: 'order' }))
  await publishEvents(slow)
  await publishEvents([{ id: 'other', key: 'other', type: 'order' }])
  const pool = await start()
  await eventually(() => assert.match(pool.state.reason ?? '', /^1000 events are in hand, which wait/))
  assert.deepEqual(done, [])
  gate.resolve()
  await eventually(async () => assert.equal(await waiting(), 0))
  await pool.close(1000)
  assert.deepEqual([pool.state.reason, done.length], [null, 1001])
})

test('a stop lets what has begun finish, and returns what waits in hand without an attempt', async (t) => {
  const gate = Promise.withResolvers<void>()
  const calls: string[] = []
  const { start, publishEvents, waiting } = await poolOf(t, {
    ordered: true,
    async handle({ id }, { attempt }) {
      calls.push(`${id} ${attempt}`)
      await gate.promise
    },
  })
  const events = Array.from({ length: 90 }, (_, at) => ({ id: `${at}`, key: `k${at % 30}`, type: 'order' }))
  await publishEvents(events)
  const pool = await start()
  await eventually(() => assert.deepEqual(calls, ['0 1', '1 1']))
  const closing = pool.close(10_000)
  gate.resolve()
  await within(5000, 'the stop', closing)
  assert.deepEqual([calls.length, await waiting()], [2, 88])
  const next = await start()
  await eventually(async () => assert.equal(await waiting(), 0))
  await next.close(1000)
  for (const [key, own] of Map.groupBy(events, (event) => event.key)) {
    const keys = new Map(events.map((event) => [`${event.id} 1`, event.key]))
    assert.deepEqual(
      calls.filter((call) => keys.get(call) === key),
      own.map(({ id }) => `${id} 1`),
    )
  }
})
