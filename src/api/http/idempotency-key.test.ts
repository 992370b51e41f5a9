import assert from 'node:assert/strict'
import { test } from 'node:test'
import { MillraceError } from '../../errors.ts'
import { eventually } from '../eventually.test-support.ts'
import { ask, startTestServer } from './http-client.test-support.ts'
import { IdempotentAnswers, idempotentAnswersKeptMs, maxIdempotentAnswers } from './idempotent-answers.ts'

function pause(url: string, key: string, body: object = {}, group = 'billing') {
  const headers = { 'content-type': 'application/json', 'idempotency-key': key }
  return ask(`${url}/v1/groups/orders/${group}/pause`, { method: 'POST', headers, body: JSON.stringify(body) })
}

/** A server whose pauses are counted, and take as long as the test wants. */
async function startCounting(t: Parameters<typeof startTestServer>[0]) {
  const server = await startTestServer(t)
  const calls: string[] = []
  const state = { failure: null as MillraceError | null, gate: Promise.resolve() }
  Object.assign(server.pipeline.administration, {
    pauseGroup: async (_group: object, reason: string) => {
      calls.push(reason)
      await state.gate
      if (state.failure !== null) throw state.failure
    },
  })
  return { ...server, calls, state }
}

test('an administrative POST with an Idempotency-Key is done once and answered again', async (t) => {
  const { url, calls } = await startCounting(t)

  const first = await pause(url, '"key-1"', { reason: 'deploy' })
  const again = await pause(url, 'key-1', { reason: 'deploy' })
  const other = await pause(url, '"key-2"', { reason: 'deploy' })

  assert.deepEqual([first.status, again.status, other.status], [200, 200, 200])
  assert.equal(again.text, first.text)
  assert.equal(again.headers.get('content-type'), first.headers.get('content-type'))
  assert.notEqual(again.headers.get('x-request-id'), first.headers.get('x-request-id'))
  assert.equal(calls.length, 2)
})

test('the same key with another body or another path is 422, and a malformed one 400', async (t) => {
  const { url, calls } = await startCounting(t)
  await pause(url, '"key"', { reason: 'deploy' })

  for (const another of [await pause(url, '"key"', { reason: 'other' }), await pause(url, '"key"', {}, 'mail')]) {
    assert.deepEqual([another.status, another.json.code], [422, 'failed_precondition'])
    assert.equal(another.json.field, 'idempotency-key')
  }
  for (const malformed of ['"', '""', 'two words', 'a'.repeat(300)])
    assert.equal((await pause(url, malformed)).status, 400, malformed)
  assert.equal(calls.length, 1)
})

test('the same key while the first request runs is 409', async (t) => {
  const { url, calls, state } = await startCounting(t)
  const { promise, resolve } = Promise.withResolvers<void>()
  state.gate = promise
  const first = pause(url, '"key"')
  await eventually(() => calls.length === 1)

  const second = await pause(url, '"key"')

  assert.deepEqual([second.status, second.json.code], [409, 'already_exists'])
  resolve()
  assert.equal((await first).status, 200)
  assert.equal((await pause(url, '"key"')).status, 200)
  assert.equal(calls.length, 1)
})

test('a failure is answered again too, but one whose outcome is unknown is tried again', async (t) => {
  const { url, calls, state } = await startCounting(t)
  state.failure = new MillraceError('not_found', 'there is no such group')
  assert.equal((await pause(url, '"wrong"')).status, 404)
  state.failure = new MillraceError('unavailable', 'the log is away')
  assert.equal((await pause(url, '"wrong"')).status, 404)
  assert.equal((await pause(url, '"away"')).status, 503)
  state.failure = null

  assert.equal((await pause(url, '"wrong"')).status, 404)
  assert.equal((await pause(url, '"away"')).status, 200)
  assert.equal(calls.length, 3)
})

test('answers are kept for ten minutes, and at most a thousand of them', () => {
  let now = 0
  const answers = new IdempotentAnswers(() => now)
  const keyed = (n: number) => ({ id: String(n), fingerprint: 'same' })
  const answer = { status: 200, headers: {}, payload: '{}' }
  const begin = (n: number) => {
    const known = answers.begin(keyed(n))
    if (known === null) answers.end(keyed(n), answer)
    return known
  }
  for (let n = 0; n <= maxIdempotentAnswers; n++) assert.equal(begin(n), null)
  assert.equal(begin(maxIdempotentAnswers), answer)
  assert.equal(begin(0), null)

  now = idempotentAnswersKeptMs
  assert.equal(begin(maxIdempotentAnswers), null)
})
