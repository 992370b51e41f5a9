// Redis refuses writes, for each of its reasons: every publish gets a definite answer, and readiness, status, monitor,
// doctor, metrics and log name the reason, and its end.

import assert from 'node:assert/strict'
import { mkdirSync, rmdirSync } from 'node:fs'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import type { ServiceError } from '@grpc/grpc-js'
import { readRedisUrl } from '../../src/config/redis-url.ts'
import type { openEventLog } from '../../src/event-log/open-event-log.ts'
import { openRedisConnection } from '../../src/event-log/redis/connection/open-redis-connection.ts'
import { BlockedLanes } from '../../src/event-log/redis/guard/blocked-lanes.ts'
import { DurabilityGuard } from '../../src/event-log/redis/guard/durability-guard.ts'
import { openRedisLog } from '../../src/event-log/redis/open-redis-log.ts'
import { postgresHome, redisEnvironment } from '../support/backend.ts'
import { cleanup } from '../support/cleanup.ts'
import { orders } from '../support/events.ts'
import { eventually } from '../support/eventually.ts'
import { grpcClient } from '../support/grpc-client.ts'
import { type CauseBody, getReadiness, getStatus, postJson, request } from '../support/http-client.ts'
import { type InProcessServer, startInProcess } from '../support/in-process-server.ts'
import { RedisServer } from '../support/redis-server.ts'
import { runCommand } from '../support/run-command.ts'
import { drained } from '../support/tally.ts'

interface Refusal {
  readonly reason: string
  /** The error code and the state of a process with both roles. */
  readonly code: 'disk_full' | 'durability_lost'
  readonly state: 'degraded' | 'unready'
  begin(redis: RedisServer): Promise<unknown>
  end(redis: RedisServer): Promise<unknown>
}

/** A snapshot cannot be renamed to a directory: saving fails as on a full disk. */
const snapshot = ({ directory }: RedisServer) => join(directory, 'dump.rdb')

const refusals: readonly Refusal[] = [
  {
    ...{ reason: 'MISCONF', code: 'disk_full', state: 'degraded' },
    async begin(redis) {
      mkdirSync(snapshot(redis))
      await redis.command('CONFIG', 'SET', 'save', '"3600 1"')
      await redis.command('BGSAVE')
      await eventually(async () => assert.match(await redis.command('INFO'), /rdb_last_bgsave_status:err/))
    },
    async end(redis) {
      rmdirSync(snapshot(redis))
      await redis.command('BGSAVE')
      await eventually(async () => assert.match(await redis.command('INFO'), /rdb_last_bgsave_status:ok/))
      await redis.command('CONFIG', 'SET', 'save', '""')
    },
  },
  {
    ...{ reason: 'OOM', code: 'disk_full', state: 'degraded' },
    begin: (redis) => redis.command('CONFIG', 'SET', 'maxmemory', '1'),
    end: (redis) => redis.command('CONFIG', 'SET', 'maxmemory', '0'),
  },
  {
    ...{ reason: 'NOREPLICAS', code: 'durability_lost', state: 'unready' },
    begin: (redis) => redis.command('CONFIG', 'SET', 'min-replicas-to-write', '1'),
    end: (redis) => redis.command('CONFIG', 'SET', 'min-replicas-to-write', '0'),
  },
  {
    ...{ reason: 'READONLY', code: 'durability_lost', state: 'unready' },
    begin: (redis) => redis.command('REPLICAOF', '127.0.0.1', '1'),
    end: (redis) => redis.command('REPLICAOF', 'NO', 'ONE'),
  },
]

const logReason = ({ causes }: { readonly causes: readonly CauseBody[] }) =>
  causes.find(({ component }) => component === 'log')?.reason

async function assertNamed(server: InProcessServer, { reason }: Refusal): Promise<void> {
  await eventually(async () => assert.equal(logReason(await getStatus(server.http)), reason))
  const { text } = await request(server.http, '/metrics')
  assert.match(text, new RegExp(`^millrace_degraded\\{component="log",reason="${reason}"\\} 1$`, 'm'))
  assert.match(text, /^millrace_component_up\{component="log"\} 0$/m)
  assert.ok(server.logLines().some((line) => line.reason === reason && String(line.problem).includes(reason)))
}

/** Checks the servers more often, so that the test is short. */
const openOften: typeof openEventLog = ({ redisUrl, redisPrefix }, options) => {
  const elapsedMs = () => performance.now()
  return openRedisLog({ ...options, url: redisUrl!, prefix: redisPrefix!, elapsedMs, checkEveryMs: 200 })
}

async function start(t: TestContext) {
  const redis = await RedisServer.create()
  cleanup(t, () => redis.destroy())
  const home = await postgresHome(t, redisEnvironment(redis.url))
  const server = await startInProcess(t, { ...home, openEventLog: openOften })
  const env = { ...home.env, MILLRACE_ROLES: 'worker' }
  const worker = await startInProcess(t, { env, openEventLog: openOften })
  return { redis, home, server, worker }
}

test('fault B26: when Redis refuses writes, publishes get a definite answer, every view names the reason, and its end', async (t) => {
  const { redis, home, server, worker } = await start(t)
  const grpc = grpcClient(t, server)
  await grpc.publish({ events: orders(5) })
  await drained(server)
  for (const refusal of refusals) {
    const { reason, code, state } = refusal
    await refusal.begin(redis)

    const answer = await postJson(server.http, [{ type: 'refused' }, { type: 'refused', priority: 'high' }])
    const isFull = code === 'disk_full'
    assert.deepEqual([answer.status, answer.body.code], [isFull ? 429 : 503, code], reason)
    assert.ok(Number(answer.headers.get('retry-after')) > 0)
    assert.match(answer.body.detail, new RegExp(isFull ? reason : `${reason}|GET /readyz`))
    const failure = await grpc.publish({ events: orders(1) }).then(
      () => assert.fail('accepted'),
      (error: ServiceError) => error,
    )
    assert.equal(failure.code, isFull ? 8 : 14)
    assert.match(
      failure.metadata.get('grpc-status-details-bin')[0]?.toString('latin1') ?? '',
      new RegExp(code.toUpperCase()),
    )

    const what = `${reason} in /readyz`
    await eventually(async () => assert.equal(logReason(await getReadiness(server.http)), reason), {
      withinMs: 15_000,
      what,
    })
    await eventually(async () => assert.equal((await getReadiness(server.http)).state, state))
    assert.equal((await getReadiness(server.http)).status, state === 'unready' ? 503 : 200)
    await eventually(async () => {
      const found = await getReadiness(worker.http)
      // Only the scripts of appends need memory: work can be taken.
      assert.deepEqual([logReason(found), found.state], [reason, reason === 'OOM' ? 'degraded' : 'unready'])
    })
    await assertNamed(server, refusal)
    const doctor = await runCommand(['doctor', '--output', 'json'], home)
    assert.equal(doctor.code, 1)
    assert.match(doctor.stdout, new RegExp(`"redis","state":"problem","message":"[^"]*(${reason}|is a replica)`))
    assert.doesNotMatch(doctor.stdout, /does not work as it should|\.: /)
    const status = await runCommand(['status'], { ...home, env: { ...home.env, MILLRACE_ADDRESS: server.grpc } })
    assert.match(status.stdout, new RegExp(`^state ${state}\\n! log: .*${reason}`, 'm'), status.stderr)
    assert.equal(status.code, state === 'unready' ? 1 : 0)

    await refusal.end(redis)
    await eventually(async () =>
      assert.equal(
        (await getReadiness(server.http)).causes.some(({ component }) => component === 'log'),
        false,
      ),
    )
    assert.ok(server.logLines().some(({ ended }) => ended === reason))
    assert.match(
      (await request(server.http, '/metrics')).text,
      new RegExp(`component="log",reason="${reason}"\\} 0$`, 'm'),
    )
    await grpc.publish({ events: orders(5) })
  }
  const [line] = await drained(server, 20_000)
  assert.partialDeepStrictEqual(line, { accepted: 25, landed: 25, balanced: true })
  assert.equal(await home.countRows(), 25)
  assert.equal(await home.countRows(`type = 'refused'`), 0)
})

test('when one of several masters refuses writes or is away, the others still work, and all are named', async (t) => {
  const servers = await Promise.all([RedisServer.create(), RedisServer.create()])
  for (const server of servers) cleanup(t, () => server.destroy())
  const [first, second] = servers
  const logger = { info() {}, warn() {} }
  const connections = await Promise.all(servers.map(({ url }) => openRedisConnection({ url, logger, maxReplyMs: 500 })))
  const guard = new DurabilityGuard({
    ...{
      target: readRedisUrl(first.url),
      durability: { level: 'broker' },
      isDiskTrusted: false,
      probeKey: 'test:probe',
    },
    ...{ servers: () => connections.flatMap((connection) => connection.masters()), logger, onHealth() {} },
    blockedLanes: new BlockedLanes(connections[0]!),
  })
  cleanup(t, async () => {
    guard.close()
    for (const connection of connections) connection.close()
  })
  const problem = async () => {
    await guard.check()
    return guard.health.problem
  }
  await guard.start()
  assert.equal(await problem(), null)

  await second.command('CONFIG', 'SET', 'min-replicas-to-write', '1')
  const partly = { reason: 'NOREPLICAS', answersAppends: true, delivers: true }
  assert.partialDeepStrictEqual(await problem(), partly)
  await second.stop('SIGKILL')
  assert.partialDeepStrictEqual(await problem(), { ...partly, reason: 'unavailable' })
  await first.command('CONFIG', 'SET', 'maxmemory', '1')
  const { message, ...rest } = (await problem())!
  assert.deepEqual(rest, { reason: 'OOM', answersAppends: true, delivers: true })
  assert.match(message, new RegExp(`:${first.port} refuses writes: OOM .*; 127.0.0.1:${second.port} is unreachable: `))
  // Neither an append nor a worker can run its script.
  await first.command('ACL', 'SETUSER', 'default', '-eval', '-evalsha')
  const lacking = { reason: 'durability_lost', answersAppends: false, delivers: false }
  assert.partialDeepStrictEqual(await problem(), lacking)
  await first.stop('SIGKILL')
  assert.partialDeepStrictEqual(await problem(), { reason: 'unavailable', answersAppends: false, delivers: false })
})
