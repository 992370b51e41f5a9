// What /readyz says when parts of a process fail, by the roles of the process.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { MillraceError } from '../../src/errors.ts'
import type { LogProblem } from '../../src/event-log/event-log.ts'
import { openEventLog } from '../../src/event-log/open-event-log.ts'
import { RedisKeys } from '../../src/event-log/redis/redis-keys.ts'
import { postgresHome, redisEnvironment } from '../support/backend.ts'
import { orders } from '../support/events.ts'
import { eventually } from '../support/eventually.ts'
import { grpcClient } from '../support/grpc-client.ts'
import { getReadiness, getStatus, metricsOf, postJson } from '../support/http-client.ts'
import { startInProcess } from '../support/in-process-server.ts'
import { sharedRedis } from '../support/shared-services.ts'

const serving = 1
const notServing = 2

for (const [roles, keepsWorking, stopsWork] of [
  ['ingest,worker', { answersAppends: true, delivers: false }, { answersAppends: false, delivers: true }],
  ['ingest', { answersAppends: true, delivers: false }, { answersAppends: false, delivers: true }],
  ['worker', { answersAppends: false, delivers: true }, { answersAppends: true, delivers: false }],
] as const) {
  test(`a process is unready after two failed checks of the log and ready after a good one, if they stop its work (${roles})`, async (t) => {
    let report: (problem: LogProblem | null) => void = () => {}
    const server = await startInProcess(t, {
      env: { MILLRACE_ROLES: roles },
      openEventLog: (config, options) => {
        report = (problem) => options.onHealth?.({ problem, persistence: 'sqlite-wal', isUnverified: false })
        return openEventLog(config, options)
      },
    })
    const said = async () => {
      const { status, state, causes } = await getReadiness(server.http)
      return [status, state, ...causes.map(({ reason }) => reason)]
    }
    const problem = { reason: 'unavailable', message: 'no answer' }
    assert.deepEqual(await said(), [200, 'ready'])

    for (let checks = 0; checks < 3; checks++) report({ ...problem, ...keepsWorking })
    assert.deepEqual(await said(), [200, 'degraded', 'unavailable'])
    report(null)
    report({ ...problem, ...stopsWork })
    assert.deepEqual(await said(), [200, 'degraded', 'unavailable'])
    report({ ...problem, ...stopsWork })
    assert.deepEqual(await said(), [503, 'unready', 'unavailable'])
    if (roles !== 'worker') assert.equal(await grpcClient(t, server).health(), notServing)
    report(null)
    assert.deepEqual(await said(), [200, 'ready'])
    if (roles !== 'worker') assert.equal(await grpcClient(t, server).health(), serving)
  })
}

test('a backlog that refuses publishes degrades the process, and names group and limit', async (t) => {
  const server = await startInProcess(t, { env: { MILLRACE_ROLES: 'ingest', MILLRACE_MAX_WAITING_EVENTS: '10' } })
  await grpcClient(t, server).publish({ events: orders(9) })
  assert.equal((await postJson(server.http, [{ type: 'a' }, { type: 'b' }])).status, 429)

  const { status, causes } = await eventually(async () => {
    const found = await getReadiness(server.http)
    assert.equal(found.state, 'degraded')
    return found
  })
  assert.equal(status, 200)
  assert.deepEqual([causes[0]?.component, causes[0]?.reason], ['publishing', 'backlogged'])
  assert.match(causes[0]!.message, /^publishes fail to events\/0\/normal: .* wait for group "landing"/)
  assert.deepEqual((await getStatus(server.http)).causes, causes)
  const text = await metricsOf(server)
  assert.match(text, /^millrace_degraded\{component="publishing",reason="backlogged"\} 1$/m)
  assert.ok(server.logLines().some(({ reason, message }) => reason === 'backlogged' && /landing/.test(String(message))))
})

test('a lane that cannot be written degrades the process and is named with the error of Redis; others are written', async (t) => {
  const redis = await sharedRedis()
  const environment = redisEnvironment(redis.url)
  const home = await postgresHome(t, environment)
  const server = await startInProcess(t, { ...home, env: { ...home.env, MILLRACE_ROLES: 'ingest' } })
  const stream = new RedisKeys(environment.MILLRACE_REDIS_PREFIX!).partition('events', 0).stream('high')
  await redis.command('DEL', stream)
  await redis.command('SET', stream, 'other')

  assert.equal((await postJson(server.http, [{ type: 'a', priority: 'high' }])).status, 503)
  assert.equal((await postJson(server.http, [{ type: 'a' }])).status, 202)
  await eventually(async () => {
    const { status, state, causes } = await getReadiness(server.http)
    assert.deepEqual([status, state, causes.length], [200, 'degraded', 1])
    assert.match(causes[0]!.message, /^publishes fail to events\/0\/high: .*WRONGTYPE/)
  })
})

test('a message of which one part was accepted and another refused has a verdict on each event; one log line says that publishes fail', async (t) => {
  const server = await startInProcess(t, {
    openEventLog: async (...given) => {
      const eventLog = await openEventLog(...given)
      const append = eventLog.append.bind(eventLog)
      const failures = { high: 'durability_lost', normal: null, low: 'unavailable' } as const
      eventLog.append = (stream, ...rest) => {
        const code = failures[stream.lane]
        return code === null
          ? append(stream, ...rest)
          : Promise.reject(new MillraceError(code, 'Redis is a replica now'))
      }
      return eventLog
    },
  })
  const refused = await postJson(server.http, [
    { type: 'a', priority: 'high' },
    { type: 'b', priority: 'high' },
  ])
  assert.equal(refused.body.code, 'durability_lost')
  const { body } = await postJson(server.http, [{ type: 'a', priority: 'high' }, { type: 'b' }])
  assert.deepEqual(
    [body.accepted, body.rejections?.map(({ index, code }) => [index, code])],
    [1, [[0, 'durability_lost']]],
  )
  const logged = () => server.logLines().filter(({ message }) => String(message).startsWith('publishes fail to'))
  await eventually(() => assert.equal(logged().length, 1))
  await postJson(server.http, [{ type: 'a', priority: 'low' }])
  await eventually(async () => assert.equal((await getReadiness(server.http)).causes[0]?.reason, 'unavailable'))
  assert.equal(logged().length, 1)
})
