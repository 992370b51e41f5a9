// Handlers that hold an event whose attempts have failed, until a person releases it.

import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { eventually } from '../../test/support/eventually.ts'
import { never } from '../event-log/event-log.ts'
import type { HandlerOptions } from './define-handler.ts'
import { poolOf } from './handler-pool.test-support.ts'
import { attemptAfter } from './release-action.ts'

/** A pool that holds what fails; `a0` fails as long as it is told so. */
async function holdingPool(t: TestContext, options: Partial<HandlerOptions> = {}) {
  const calls: string[] = []
  const failing = new Set(['a0'])
  const pool = await poolOf(t, {
    onExhausted: 'hold',
    retry: { maxAttempts: 2, initialDelayMs: 1, maxDelayMs: 1 },
    handle: ({ id }, { attempt }) => {
      calls.push(`${id} ${attempt}`)
      if (failing.has(id)) throw new Error('not yet')
    },
    ...options,
  })
  return { ...pool, calls, failing }
}

const keyed = (...ids: readonly string[]) => ids.map((id) => ({ id, key: id[0]!, type: 'order' }))

test('an exhausted event holds its key until it is released, with one attempt or with all', async (t) => {
  const { start, publishEvents, waiting, heldKeys, release, calls, failing } = await holdingPool(t, { ordered: true })
  await publishEvents(keyed('a0', 'a1', 'b0'))
  const pool = await start()
  const isHeld = async () => assert.deepEqual(await heldKeys(), [{ key: 'a', events: 2, attempt: 1, dueAtMs: never }])
  await eventually(isHeld)
  assert.deepEqual(calls.splice(0).toSorted(), ['a0 1', 'a0 2', 'b0 1'])
  assert.equal(await release('a', attemptAfter('retry', 1)), true)
  await eventually(async () => {
    assert.deepEqual(calls, ['a0 2'])
    await isHeld()
  })
  failing.clear()
  assert.equal(await release('a', attemptAfter('release', 1)), true)
  await eventually(async () => assert.equal(await waiting(), 0))
  await pool.close(1000)
  assert.deepEqual(calls, ['a0 2', 'a0 1', 'a1 1'])
})

test('a skipped event becomes a dead letter, and its key goes on', async (t) => {
  const { start, publishEvents, waiting, heldKeys, release, calls, deadLetters } = await holdingPool(t, {
    ordered: true,
  })
  await publishEvents(keyed('a0', 'a1'))
  const pool = await start()
  await eventually(async () => assert.equal((await heldKeys())[0]?.dueAtMs, never))
  assert.equal(await release('a', attemptAfter('skip', (await heldKeys())[0]!.attempt)), true)
  await eventually(async () => assert.equal(await waiting(), 0))
  await pool.close(1000)
  assert.deepEqual(calls, ['a0 1', 'a0 2', 'a1 1'])
  const [letter, ...more] = (await deadLetters()).map(({ attributes }) => attributes)
  assert.deepEqual(
    ['code', 'message', 'attempts'].map((name) => letter?.get(name)),
    ['cancelled', 'a person has skipped it', '1'],
  )
  assert.deepEqual(more, [])
})

test('without order an exhausted event is held under its own id, and holds nothing else', async (t) => {
  const { start, publishEvents, waiting, heldKeys, release, calls, failing } = await holdingPool(t)
  const id = '0a8b2f0e-7f0e-4a51-9d5f-3f6f3a9b7a10'
  failing.add(id)
  await publishEvents([{ id, key: 'a', type: 'order' }, ...keyed('a1', 'a2')])
  const pool = await start()
  await eventually(async () => assert.deepEqual([await waiting(), (await heldKeys())[0]?.dueAtMs], [1, never]))
  assert.equal((await heldKeys())[0]!.key, id)
  failing.clear()
  await release(id, null)
  await eventually(async () => assert.equal(await waiting(), 0))
  await pool.close(1000)
  assert.deepEqual(calls.toSorted(), [`${id} 1`, `${id} 2`, `${id} 2`, 'a1 1', 'a2 1'])
})
