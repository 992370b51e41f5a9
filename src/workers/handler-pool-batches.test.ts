// Handlers that take batches of events.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { eventually, within } from '../../test/support/eventually.ts'
import { dead, type EventOutcome, retry } from './define-handler.ts'
import type { HandledEvent } from './handled-event.ts'
import { batchPoolOf } from './handler-pool.test-support.ts'

const numbered = (count: number) => Array.from({ length: count }, (_, number) => `e${number}`)
const idsOf = (events: readonly HandledEvent[]) => events.map(({ id }) => id)

test('a batch handler gets up to maxEvents at once, and no more calls than its concurrency', async (t) => {
  const sizes: number[] = []
  let [atWork, most] = [0, 0]
  const { start, publish, waiting } = await batchPoolOf(t, {
    batch: { maxEvents: 10, maxWaitMs: 20 },
    handle: async (events) => {
      sizes.push(events.length)
      most = Math.max(most, ++atWork)
      await new Promise(setImmediate)
      atWork--
    },
  })
  await publish(...numbered(95))
  for (const id of numbered(8)) await publish(id)
  const pool = await start()
  await eventually(async () => assert.equal(await waiting(), 0))
  await pool.close(1000)
  assert.equal(most, 2)
  assert.equal(Math.max(...sizes), 10)
  assert.equal(
    sizes.reduce((sum, size) => sum + size),
    103,
  )
  assert.ok(sizes.length <= 30, `${sizes.length} calls`)
})

test('a batch that is not full is handled when its first event has waited, and at a stop', async (t) => {
  const batches: string[][] = []
  const { start, publish, waiting } = await batchPoolOf(t, {
    batch: { maxEvents: 1000, maxWaitMs: 200 },
    handle: (events) => void batches.push(idsOf(events)),
  })
  const pool = await start()
  await publish('a')
  await publish('b')
  await eventually(() => assert.deepEqual(batches, [['a', 'b']]))
  await pool.close(1000)

  const patient = await batchPoolOf(t, {
    batch: { maxEvents: 1000, maxWaitMs: 60_000 },
    handle: (events) => void batches.push(idsOf(events)),
  })
  const second = await patient.start()
  await patient.publish('c')
  await eventually(async () => assert.equal(await patient.inFlight(), 1))
  await within(2000, 'the stop', second.close(5000))
  assert.deepEqual([batches.at(-1), await patient.waiting(), await waiting()], [['c'], 0, 0])
})

test('when a batch throws, its events are tried again one by one, and only the bad one fails', async (t) => {
  const calls: string[] = []
  const { start, publish, waiting, deadLetters } = await batchPoolOf(t, {
    batch: { maxEvents: 4 },
    retry: { maxAttempts: 3, initialDelayMs: 1, maxDelayMs: 1 },
    handle: (events, { attempt }) => {
      calls.push(`${attempt}: ${idsOf(events)}`)
      if (events.some(({ id }) => id === 'bad')) throw new Error('no')
    },
  })
  await publish('a', 'b', 'bad', 'c')
  const pool = await start()
  await eventually(async () => assert.equal(await waiting(), 0))
  await pool.close(1000)
  assert.deepEqual(calls.toSorted(), ['1: a,b,bad,c', '2: a', '2: b', '2: bad', '2: c', '3: bad'])
  assert.deepEqual(
    (await deadLetters()).map(({ attributes }) => attributes.get('message')),
    ['Error: no'],
  )
})

test('a batch handler tells the outcome of each event; one that it leaves out has failed', async (t) => {
  const done: string[] = []
  const { start, publish, waiting, deadLetters } = await batchPoolOf(t, {
    batch: { maxEvents: 4 },
    retry: { maxAttempts: 2, initialDelayMs: 1 },
    handle: (events, { attempt }) => {
      if (attempt > 1) {
        done.push(...idsOf(events))
        return undefined
      }
      const outcomes = { fine: undefined, later: retry({ afterMs: 1 }), bad: dead('it is bad') }
      const told = events.filter(({ id }) => id in outcomes)
      return told.map((event) => ({ event, outcome: outcomes[event.id as keyof typeof outcomes] }))
    },
  })
  await publish('fine', 'later', 'bad', 'left out')
  const pool = await start()
  await eventually(async () => assert.equal(await waiting(), 0))
  await pool.close(1000)
  assert.deepEqual(done.toSorted(), ['later', 'left out'])
  assert.deepEqual(
    (await deadLetters()).map(({ attributes }) => attributes.get('message')),
    ['it is bad'],
  )
})

test('an answer that does not tell the outcome of each event fails the batch with what is wrong', async (t) => {
  const answers: Readonly<Record<string, (event: HandledEvent) => unknown>> = {
    number: () => 7,
    object: () => ({}),
    empty: () => [null],
    twice: (event) => [{ event }, { event }],
    foreign: (event) => [{ event }, { event: { ...event } }],
    wrong: (event) => [{ event, outcome: 'fine' }],
  }
  const { start, publish, waiting, deadLetters } = await batchPoolOf(t, {
    batch: { maxEvents: 1 },
    handle: ([event]) => answers[event!.id]!(event!) as EventOutcome[],
    retry: { maxAttempts: 2, initialDelayMs: 1 },
  })
  for (const id of Object.keys(answers)) await publish(id)
  const pool = await start()
  await eventually(async () => assert.equal(await waiting(), 0))
  await pool.close(1000)
  const fix = 'give { event, outcome } for each event once'
  assert.deepEqual(
    (await deadLetters()).map(({ attributes }) => attributes.get('message')).toSorted(),
    [
      'TypeError: the handler returned an object; a batch handler must return nothing or an array',
      'TypeError: the handler returned a number; a batch handler must return nothing or an array',
      `TypeError: the handler returned [0]: its event is none of those that it got; ${fix}`,
      `TypeError: the handler returned [1]: it names an event twice; ${fix}`,
      `TypeError: the handler returned [1]: its event is none of those that it got; ${fix}`,
      'the handler returned a string; it must return nothing, retry() or dead(reason)',
    ].toSorted(),
  )
})
