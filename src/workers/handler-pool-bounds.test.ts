// How much a pool has in hand.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { eventually } from '../../test/support/eventually.ts'
import { batchPoolOf, poolOf } from './handler-pool.test-support.ts'

const mebibyte = 1024 * 1024

test('no more is taken while events of many bytes are in hand', async (t) => {
  let begun = 0
  const gate = Promise.withResolvers<void>()
  const { start, publishEvents, waiting } = await poolOf(t, {
    concurrency: 1000,
    handle: async () => {
      begun++
      await gate.promise
    },
  })
  const data = Buffer.alloc(mebibyte)
  for (let number = 0; number < 90; number++) await publishEvents([{ id: `e${number}`, type: 'a', data }])
  const pool = await start()
  await eventually(() => assert.match(pool.state.reason ?? '', /^6\d MiB of events are in hand: nothing more is taken/))
  assert.ok(begun <= 72, `${begun} have begun`)
  gate.resolve()
  await eventually(async () => assert.equal(await waiting(), 0))
  await pool.close(1000)
})

test('an ordered handler of batches has no more events in hand than its bound', async (t) => {
  const gate = Promise.withResolvers<void>()
  const { start, publishEvents, inFlight } = await batchPoolOf(t, {
    ordered: true,
    concurrency: 20,
    batch: { maxEvents: 1000, maxWaitMs: 0 },
    handle: () => gate.promise,
  })
  for (let entry = 0; entry < 20; entry++) {
    await publishEvents(
      Array.from({ length: 500 }, (_, number) => ({ id: `e${entry}-${number}`, type: 'a', key: 'k' })),
    )
  }
  const pool = await start()
  await eventually(() => assert.match(pool.state.reason ?? '', /^1000 events are in hand, which wait/))
  assert.equal(await inFlight(), 1000)
  gate.resolve()
  await pool.close(1000)
})

test('what waits in hand of a handler that was quick is returned when a call is slow', async (t) => {
  const gate = Promise.withResolvers<void>()
  const attempts: number[] = []
  const { start, publish, waiting, inFlight } = await poolOf(t, {
    concurrency: 1,
    handle: ({ type }, { attempt }) => {
      attempts.push(attempt)
      return type === 'slow' ? gate.promise : undefined
    },
  })
  const pool = await start()
  for (let number = 0; number < 50; number++) await publish(`quick ${number}`)
  await publish('slow', ...Array.from({ length: 100 }, (_, number) => `behind ${number}`))
  await eventually(async () => assert.deepEqual([await waiting(), await inFlight()], [101, 1]))
  gate.resolve()
  await eventually(async () => assert.equal(await waiting(), 0))
  await pool.close(1000)
  assert.deepEqual(attempts, Array(151).fill(1))
})
