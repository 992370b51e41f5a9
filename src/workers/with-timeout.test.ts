import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import type { AttemptContext, LimitedAttempt } from './attempt.ts'
import { withTimeout } from './with-timeout.ts'

const timeoutMs = 1000

/** Starts an attempt whose time is the test's. */
function startAttempt(t: TestContext, attempt: LimitedAttempt) {
  t.mock.timers.enable({ apis: ['setTimeout'] })
  const abort = new AbortController()
  const context = { attempt: 1, abort } as unknown as AttemptContext
  return { result: withTimeout(timeoutMs, attempt)([], context), abort }
}

test('each sign of progress starts the time limit again, and without one the attempt fails', async (t) => {
  let progress = () => {}
  const { result, abort } = startAttempt(t, (_, context) => {
    progress = context.progress
    return new Promise(() => {})
  })
  for (let times = 0; times < 10; times++) {
    t.mock.timers.tick(timeoutMs - 1)
    await new Promise(setImmediate)
    assert.equal(abort.signal.aborted, false)
    progress()
  }
  t.mock.timers.tick(timeoutMs)
  assert.ok((await result).running)
  assert.equal(abort.signal.reason, 'timeout')
})

test('progress that is heard in the turn of the timer comes in time', async (t) => {
  let progress = () => {}
  const { abort } = startAttempt(t, (_, context) => {
    progress = context.progress
    return new Promise(() => {})
  })
  t.mock.timers.tick(timeoutMs)
  progress()
  await new Promise(setImmediate)
  assert.equal(abort.signal.aborted, false)
})

test('progress after the time limit or the end of an attempt starts no timer', async () => {
  const timers = () => process.getActiveResourcesInfo().filter((name) => name === 'Timeout').length
  for (const ends of [Promise.resolve({ ends: [] }), new Promise<never>(() => {})]) {
    let progress = () => {}
    const attempt: LimitedAttempt = (_, context) => {
      progress = context.progress
      return ends
    }
    await withTimeout(1, attempt)([], { attempt: 1, abort: new AbortController() } as unknown as AttemptContext)
    const before = timers()
    progress()
    assert.equal(timers(), before)
  }
})
