// Groups in a whole server: listed, paused, resumed and deleted, over gRPC and on the command line.

import assert from 'node:assert/strict'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { MillraceError } from '../../src/errors.ts'
import { postgresHome, redisEnvironment } from '../support/backend.ts'
import { isBalanced } from '../support/checker.ts'
import { cleanup } from '../support/cleanup.ts'
import { order, orders } from '../support/events.ts'
import { eventually } from '../support/eventually.ts'
import { getStatus, listEvents, metricsOf, request } from '../support/http-client.ts'
import { startInProcess } from '../support/in-process-server.ts'
import { PostgresServer } from '../support/postgres-server.ts'
import { clientOf, publish } from '../support/publish.ts'
import { RedisServer } from '../support/redis-server.ts'
import { runCommand } from '../support/run-command.ts'
import { drained, tally } from '../support/tally.ts'
import { tempDirectory } from '../support/temp-directory.ts'

/** The group's entry in the status. */
async function statusOf(server: { readonly http: string }, topic = 'events') {
  const { topics } = await getStatus(server.http)
  return topics.find(({ name }) => name === topic)?.groups.find(({ name }) => name === 'landing')
}

const logs: Readonly<Record<string, (t: TestContext) => Promise<Record<string, string>>>> = {
  embedded: async () => ({}),
  async redis(t) {
    const redis = await RedisServer.create({ flushes: true, settings: [['maxmemory-policy', 'noeviction']] })
    cleanup(t, () => redis.destroy())
    const postgres = await PostgresServer.create()
    cleanup(t, () => postgres.destroy())
    return { MILLRACE_REDIS_URL: redis.url, MILLRACE_POSTGRES_URL: await postgres.createDatabase() }
  },
}

for (const [log, settingsOf] of Object.entries(logs)) {
  test(`while landing is paused nothing lands and the status has the reason; after resuming everything lands (${log})`, async (t) => {
    const dataDir = tempDirectory(t)
    const env = await settingsOf(t)
    const before = await startInProcess(t, { dataDir, env })
    const paused = await runCommand(['groups', 'pause', 'landing', '--reason', 'the table is being moved'], {
      dataDir,
    })
    assert.deepEqual([paused.code, paused.stderr], [0, ''])
    assert.match(paused.stdout, /^group landing of topic events is paused/)
    assert.equal((await publish(before, 'events', orders(50))).accepted, 50)
    const seen = await eventually(async () => {
      const landing = await statusOf(before)
      assert.equal(landing?.waiting, 50)
      return landing
    })
    const state = { is: 'paused', by: 'person', reason: 'the table is being moved', since: null }
    assert.deepEqual([seen?.state, seen?.in_flight], [state, 0])
    assert.deepEqual(await tally(before), { waiting: 50, landed: 0, dead: 0 })
    await before.stop()

    const server = await startInProcess(t, { dataDir, env })
    await publish(server, 'events', orders(10))
    await eventually(async () => assert.equal((await statusOf(server))?.waiting, 60))
    const listed = await runCommand(['groups', 'list', '--topic', 'events'], { dataDir })
    assert.equal(listed.code, 0, listed.stderr)
    assert.match(listed.stdout, /TOPIC +GROUP +WAITING +READY +SCHEDULED +HELD +IN FLIGHT +OLDEST +STATE\n/)
    assert.match(
      listed.stdout,
      /^events +landing +60 +60 +0 +0 +0 +\d+\.\d s +paused by a person: the table is being moved\n$/m,
    )
    assert.doesNotMatch(listed.stdout, /_dead/)
    assert.equal((await tally(server)).landed, 0)

    const limited = await runCommand(['groups', 'resume', 'landing', '--rate', '1'], { dataDir })
    assert.match(limited.stdout, /^group landing of topic events is resumed at 1 events a second; /)
    await eventually(async () => assert.deepEqual(await tally(server), { waiting: 10, landed: 50, dead: 0 }))
    const reason = 'at most 1 events a second, until "millrace groups resume landing" without --rate'
    const rated = { is: 'limited', by: 'person', reason, since: null }
    await eventually(async () => assert.deepEqual((await statusOf(server))?.state, rated))

    const resumed = await runCommand(['groups', 'resume', 'landing', '--output', 'json'], { dataDir })
    assert.deepEqual(JSON.parse(resumed.stdout), { topic: 'events', group: 'landing', rate: null })
    const [line] = await drained(server)
    assert.ok(line !== undefined && isBalanced(line), JSON.stringify(line))
    assert.equal(line.landed, 60)
    await eventually(async () => assert.equal((await statusOf(server))?.state.is, 'running'))
    assert.equal((await listEvents(server.http, 'limit=100')).events.length, 60)
  })
}

test('a group is paused and resumed over HTTP, and a wrong body changes nothing and is refused with its member', async (t) => {
  const server = await startInProcess(t, { dataDir: tempDirectory(t) })
  const post = async (action: string, body?: string) => {
    const init = body === undefined ? {} : { body, headers: { 'content-type': 'application/json' } }
    const { status, text } = await request(server.http, `/v1/groups/events/landing/${action}`, {
      method: 'POST',
      ...init,
    })
    return { status, body: JSON.parse(text) }
  }
  const stateIs = async () => (await statusOf(server))?.state.is
  const name = { topic: 'events', group: 'landing' }
  const wrong: readonly (readonly [string, string, string])[] = [
    ['resume', '{"rate":0}', 'rate'],
    ['resume', '{"rate":"50"}', 'rate'],
    ['resume', '{"speed":1}', 'speed'],
    ['resume', '[50]', 'body'],
    ['resume', '{"rate":', 'body'],
    ['pause', '{"reason":1}', 'reason'],
  ]
  for (const [action, body, field] of wrong) {
    const refused = await post(action, body)
    assert.deepEqual([refused.status, refused.body.field], [400, field], body)
  }
  assert.equal(await stateIs(), 'running')
  assert.deepEqual(await post('pause', '{"reason":"moving"}'), { status: 200, body: { ...name, reason: 'moving' } })
  await eventually(async () => assert.equal(await stateIs(), 'paused'))
  assert.deepEqual(await post('resume', '{"rate":50}'), { status: 200, body: { ...name, rate: 50 } })
  await eventually(async () => assert.equal(await stateIs(), 'limited'))
  assert.deepEqual(await post('resume'), { status: 200, body: { ...name, rate: null } })
  await eventually(async () => assert.equal(await stateIs(), 'running'))
})

test('an abandoned group that refuses events is deleted, and its topic takes events again', async (t) => {
  const dataDir = tempDirectory(t)
  const env = { MILLRACE_MAX_WAITING_EVENTS: '5' }
  const first = await startInProcess(t, { dataDir, env, topics: ['returns'] })
  await runCommand(['groups', 'pause', 'landing', '--topic', 'returns'], { dataDir })
  await publish(first, 'returns', orders(5))
  await assert.rejects(publish(first, 'returns', [order(9)]), { code: 'backlogged' })
  const own = await runCommand(['groups', 'delete', 'landing', '--topic', 'returns', '--yes'], { dataDir })
  assert.equal(own.code, 1)
  assert.match(own.stderr, /declares it at each start.*pause it instead.*MILLRACE_TOPICS/)
  await first.stop()

  const second = await startInProcess(t, { dataDir, env })
  const list = async () => {
    const { stdout } = await runCommand(['groups', 'list', '--output', 'json'], { dataDir })
    return (
      JSON.parse(stdout) as { groups: { topic: string; group: string; waiting: number; state: { is: string } }[] }
    ).groups
  }
  const abandoned = (await list()).find(({ topic }) => topic === 'returns')
  assert.deepEqual([abandoned?.group, abandoned?.waiting, abandoned?.state.is], ['landing', 5, 'paused'])
  const metricsOfGroup = async () => (await metricsOf(second)).match(/^.*topic="returns",group=.*$/gm)
  assert.match(
    (await metricsOfGroup())!.join('\n'),
    /^millrace_log_waiting_events\{topic="returns",group="landing"\} 5$/m,
  )
  const asked = await runCommand(['groups', 'delete', 'landing', '--topic', 'returns'], { dataDir })
  assert.equal(asked.code, 1)
  assert.match(asked.stderr, /stdin is not a terminal; add --yes/)
  const deleted = await runCommand(['groups', 'delete', 'landing', '--topic', 'returns', '--yes'], { dataDir })
  assert.equal(deleted.stdout, 'deleted group landing of topic returns, 5 events abandoned\n', deleted.stderr)
  await eventually(async () => assert.ok((await list()).every(({ topic }) => topic !== 'returns')))
  await eventually(async () => assert.equal(await metricsOfGroup(), null))
  const again = await runCommand(['groups', 'delete', 'landing', '--topic', 'returns'], { dataDir })
  assert.equal(again.code, 1)
  assert.match(again.stderr, /there is no group "landing" of a topic "returns"/)
  await second.stop()

  const third = await startInProcess(t, { dataDir, env, topics: ['returns'] })
  // The new group starts at the oldest event that the log still has.
  await drained(third)
  assert.equal((await publish(third, 'returns', [order(9)])).accepted, 1)
  const ledger = await drained(third)
  assert.equal(ledger.find(({ topic }) => topic === 'returns')?.landed, 6)
})

test('an error of a call about groups names the field', async (t) => {
  const server = await startInProcess(t)
  const { administration } = clientOf(t, server)
  const refusals: readonly [call: () => Promise<unknown>, code: string, field: string | undefined][] = [
    [() => administration.pauseGroup({ topic: 'events', group: '' }, ''), 'invalid_event', 'group'],
    [() => administration.pauseGroup({ topic: 'a\0b', group: 'landing' }, ''), 'invalid_event', 'topic'],
    [
      () => administration.pauseGroup({ topic: 'events', group: 'landing' }, 'x'.repeat(201)),
      'invalid_event',
      'reason',
    ],
    [() => administration.pauseGroup({ topic: 'events', group: 'landing' }, 'two\nlines'), 'invalid_event', 'reason'],
    [() => administration.pauseGroup({ topic: 'events', group: 'unknown' }, ''), 'not_found', 'group'],
    [() => administration.resumeGroup({ topic: 'unknown', group: 'landing' }), 'not_found', 'group'],
    [() => administration.resumeGroup({ topic: 'events', group: '' }), 'invalid_event', 'group'],
    [() => administration.deleteGroup({ topic: 'events', group: '' }), 'invalid_event', 'group'],
    [() => administration.deleteGroup({ topic: 'events', group: 'unknown' }), 'not_found', 'group'],
    [() => administration.deleteGroup({ topic: 'events', group: 'landing' }), 'failed_precondition', 'group'],
    [() => administration.deleteGroup({ topic: '_dead', group: 'dead' }), 'failed_precondition', 'group'],
  ]
  for (const [call, code, field] of refusals) {
    await assert.rejects(call(), (error: unknown) => {
      assert.ok(error instanceof MillraceError)
      assert.deepEqual([error.code, error.field], [code, field], error.message)
      return true
    })
  }
  // An empty topic means the default topic for events.
  await administration.pauseGroup({ topic: '', group: 'landing' }, 'x'.repeat(200))
  assert.equal((await statusOf(server))?.state.reason, 'x'.repeat(200))
})

test('the help texts of the group commands show their usage', async (t) => {
  const dataDir = join(tempDirectory(t), 'nothing')
  const help = await runCommand(['groups', '--help'], { dataDir })
  for (const command of ['list', 'pause', 'resume', 'delete'])
    assert.match(help.stdout, new RegExp(`^ +${command} `, 'm'))
  const nameless = await runCommand(['groups', 'pause'], { dataDir })
  assert.equal(nameless.code, 2)
  assert.match(nameless.stderr, /missing required argument 'GROUP'/)
  const empty = await runCommand(['groups', 'pause', 'landing', '--reason', ''], { dataDir })
  assert.equal(empty.code, 2)
  assert.match(empty.stderr, /--reason is empty/)
})

test('a group that a server needs is recreated when it is deleted elsewhere, and events published later land', async (t) => {
  const redis = await RedisServer.create()
  cleanup(t, () => redis.destroy())
  const home = await postgresHome(t, redisEnvironment(redis.url))
  const other = await startInProcess(t, home)
  const server = await startInProcess(t, { ...home, topics: ['orders'] })

  const name = { topic: 'orders', group: 'landing' }
  await clientOf(t, other).administration.deleteGroup(name)
  const publisher = clientOf(t, server).publisher({ topic: 'orders', overflow: 'wait' })
  for (let number = 0; number < 100; number++) publisher.add({ type: 'order.placed', data: { number } })
  assert.equal((await publisher.close()).accepted, 100)

  await eventually(async () => assert.equal(await home.countRows(), 100), { withinMs: 25_000 })
  const [line] = (await drained(server)).filter(({ topic }) => topic === 'orders')
  assert.equal(line?.balanced, true)
})
