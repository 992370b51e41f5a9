// Keys that a failing event holds, in a whole server: shown, and let go by a person.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { MillraceError } from '../../src/errors.ts'
import { defineHandler } from '../../src/index.ts'
import { backends } from '../support/backend.ts'
import { eventually } from '../support/eventually.ts'
import { getStatus, request } from '../support/http-client.ts'
import { startInProcess } from '../support/in-process-server.ts'
import { clientOf } from '../support/publish.ts'
import { runCommand } from '../support/run-command.ts'

const group = 'ledger'
const path = `/v1/groups/events/${group}/keys`

for (const backend of backends('embedded', 'redis')) {
  test(`a held key is shown, and goes on when a person lets its first event go (${backend.name})`, async (t) => {
    const failing = new Set(['a/1 0', 'b 0', 'c 0'])
    const done: string[] = []
    const ledger = defineHandler({
      group,
      ordered: true,
      onExhausted: 'hold',
      retry: { maxAttempts: 2, initialDelayMs: 1 },
      handle({ id }) {
        if (failing.has(id)) throw new Error('not yet')
        done.push(id)
      },
    })
    const home = await backend.home(t)
    const server = await startInProcess(t, { ...home, handlers: [ledger] })
    const client = clientOf(t, server)
    const events = ['a/1', 'b', 'c', 'd'].flatMap((key) =>
      [0, 1].map((at) => ({ key, id: `${key} ${at}`, type: 'step' })),
    )
    await client.publishEvents(events)
    const held = async () => {
      const { topics } = await getStatus(server.http)
      const own = topics.find(({ name }) => name === 'events')?.groups.find(({ name }) => name === group)
      return [own?.waiting, own?.ready, own?.held]
    }
    await eventually(async () => assert.deepEqual(await held(), [6, 0, 6]))

    const cli = (...words: readonly string[]) => runCommand(['groups', 'keys', ...words], { dataDir: home.dataDir })
    const { stdout } = await cli(group)
    assert.match(stdout, /^KEY +EVENTS +ATTEMPTS +NEXT ATTEMPT +PRIORITY\n/)
    for (const key of ['a/1', 'b', 'c'])
      assert.match(stdout, new RegExp(`^${key} +2 +2 +when it is released +normal$`, 'm'))
    const listed = await request(server.http, path)
    assert.deepEqual([JSON.parse(listed.text).has_more, JSON.parse(listed.text).keys.length], [false, 3])
    assert.equal(JSON.parse((await request(server.http, `${path}?limit=2`)).text).has_more, true)

    // One more attempt, which fails; then it succeeds.
    const retry = () => request(server.http, `${path}/${encodeURIComponent('a/1')}/retry`, { method: 'POST' })
    assert.equal((await retry()).status, 200)
    await eventually(async () => assert.deepEqual(await held(), [6, 0, 6]))
    failing.clear()
    await retry()
    await eventually(async () => assert.deepEqual(await held(), [4, 0, 4]))
    const released = await cli(group, '--release', 'b', '--output', 'json')
    assert.deepEqual(JSON.parse(released.stdout), { topic: 'events', group, key: 'b', action: 'release' })
    await client.administration.releaseKey({ topic: 'events', group }, 'c', 'skip')
    await eventually(async () => assert.deepEqual(await held(), [0, 0, 0]))
    const order = (key: string) => done.filter((id) => id.startsWith(key))
    assert.deepEqual([order('a/1'), order('b'), order('c')], [['a/1 0', 'a/1 1'], ['b 0', 'b 1'], ['c 1']])
    const [letter] = await eventually(async () => {
      const { deadLetters } = await client.administration.listDeadLetters({ limit: 10 })
      assert.equal(deadLetters.length, 1)
      return deadLetters
    })
    assert.deepEqual([letter!.code, letter!.message, letter!.attempts], ['cancelled', 'a person has skipped it', 2])
    assert.equal((await cli(group)).stdout, 'No key is held.\n')
  })
}

test('the state of a group says that too much is held for a partition to be read on', async (t) => {
  let fails = true
  const ledger = defineHandler({
    group,
    ordered: true,
    retry: { maxAttempts: 1000, initialDelayMs: 200, maxDelayMs: 200 },
    handle({ key }) {
      if (fails && key === 'slow') throw new Error('not yet')
    },
  })
  const server = await startInProcess(t, { handlers: [ledger] })
  const client = clientOf(t, server)
  const slow = Array.from({ length: 10_100 }, (_, at) => ({ key: 'slow', id: `slow ${at}`, type: 'step' }))
  for (let from = 0; from < slow.length; from += 1000) await client.publishEvents(slow.slice(from, from + 1000))
  await client.publishEvents([{ key: 'other', id: 'other', type: 'step' }])
  const own = async () => {
    const { topics } = await getStatus(server.http)
    return topics.find(({ name }) => name === 'events')?.groups.find(({ name }) => name === group)
  }
  const held = await eventually(
    async () => {
      const found = await own()
      assert.match(
        found?.state.reason ?? '',
        /^(9999|10000) events are held: about 10000 in a partition keep new ones from being read$/,
      )
      return found!
    },
    { withinMs: 30_000 },
  )
  assert.ok(held.waiting! > held.held!, 'the other key waits behind them')
  fails = false
  await eventually(async () => assert.deepEqual([(await own())?.state.reason], [null]), { withinMs: 30_000 })
})

test('what cannot be released is refused with what is wrong', async (t) => {
  const server = await startInProcess(t)
  const { administration } = clientOf(t, server)
  const landing = { topic: 'events', group: 'landing' }
  for (const [call, code, field] of [
    [() => administration.heldKeys({ topic: 'events', group: 'unknown' }, 10), 'not_found', 'group'],
    [() => administration.heldKeys(landing, 1001), 'invalid_event', 'limit'],
    [() => administration.releaseKey(landing, 'k', 'retry'), 'not_found', 'key'],
  ] as const) {
    await assert.rejects(call, (error) => {
      assert.ok(error instanceof MillraceError)
      assert.deepEqual([error.code, error.field], [code, field])
      return true
    })
  }
  const both = await runCommand(['groups', 'keys', 'landing', '--retry', 'a', '--skip', 'a'], {
    dataDir: server.dataDir,
  })
  assert.match(both.stderr, /--retry and --skip are given together/)
  const missing = await request(server.http, '/v1/groups/events/landing/keys/k/skip', { method: 'POST' })
  assert.equal(missing.status, 404)
})
