import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import type { AttemptContext, LimitedAttempt } from './attempt.ts'
import { AttemptAbort } from './attempt-abort.ts'
import { withTimeout } from './with-timeout.ts'

const timeoutMs = 1000

/** Starts an attempt whose time is the test's. */
function startAttempt(t: TestContext, attempt: LimitedAttempt) {
  t.mock.timers.enable({ apis: ['setTimeout'] })
  const abort = new AttemptAbort()
  const context = { attempt: 1, abort } as unknown as AttemptContext
  let nowMs = 0
  const tick = (ms: number) => {
    nowMs += ms
    t.mock.timers.tick(ms)
  }
  const limited = withTimeout({ timeoutMs, monotonicNow: () => nowMs }, attempt)
  return { result: limited([], context), abort, tick }
}

test('each sign of progress starts the time limit again, and without one the attempt fails', async (t) => {
  let progress = () => {}
  const { result, abort, tick } = startAttempt(t, (_, context) => {
    progress = context.progress
    return new Promise(() => {})
  })
  for (let times = 0; times < 10; times++) {
    tick(timeoutMs - 1)
    await new Promise(setImmediate)
    assert.equal(abort.signal.aborted, false)
    progress()
  }
  tick(timeoutMs)
  assert.ok((await result).running)
  assert.equal(abort.signal.reason, 'timeout')
})

test('progress that is heard in the turn of the timer comes in time', async (t) => {
  let progress = () => {}
  const { abort, tick } = startAttempt(t, (_, context) => {
    progress = context.progress
    return new Promise(() => {})
  })
  tick(timeoutMs)
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
    const limited = withTimeout({ timeoutMs: 1, monotonicNow: () => performance.now() }, attempt)
    await limited([], { attempt: 1, abort: new AttemptAbort() } as unknown as AttemptContext)
    const before = timers()
    progress()
    assert.equal(timers(), before)
  }
})

test('one timer ends the attempts that are late, and no others', async (t) => {
  t.mock.timers.enable({ apis: ['setTimeout'] })
  let nowMs = 0
  const tick = (ms: number) => {
    nowMs += ms
    t.mock.timers.tick(ms)
  }
  const attempt = withTimeout({ timeoutMs, monotonicNow: () => nowMs }, () => new Promise(() => {}))
  const begin = () => {
    const abort = new AttemptAbort()
    void attempt([], { attempt: 1, abort } as unknown as AttemptContext)
    return abort
  }
  const first = begin()
  tick(600)
  const second = begin()
  const reasons = async () => {
    await new Promise(setImmediate)
    return [first.reason, second.reason]
  }
  tick(400)
  assert.deepEqual(await reasons(), ['timeout', null])
  tick(599)
  assert.deepEqual(await reasons(), ['timeout', null])
  tick(1)
  assert.deepEqual(await reasons(), ['timeout', 'timeout'])
  assert.equal(second.signal.reason, 'timeout', 'also of a signal that is asked for afterwards')
})
