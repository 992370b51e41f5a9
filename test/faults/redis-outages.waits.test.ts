// Redis is down or hangs: calls are answered as unknown, the server waits without using CPU, and it resumes.

import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import type { ServiceError } from '@grpc/grpc-js'
import { type Home, postgresHome, redisEnvironment } from '../support/backend.ts'
import { assertSound, compare } from '../support/checker.ts'
import { cleanup } from '../support/cleanup.ts'
import { orders } from '../support/events.ts'
import { eventually } from '../support/eventually.ts'
import { grpcClient, type RawGrpcClient } from '../support/grpc-client.ts'
import { postJson, request } from '../support/http-client.ts'
import { Journal } from '../support/journal.ts'
import { loadHttp, loadProduce, loadUnary } from '../support/load.ts'
import { PostgresServer } from '../support/postgres-server.ts'
import { seededRandom } from '../support/random.ts'
import { type RedisOptions, RedisServer } from '../support/redis-server.ts'
import { type ServerProcess, startServer } from '../support/server-process.ts'
import { sharedPostgres } from '../support/shared-services.ts'
import { drained } from '../support/tally.ts'

const mebibyte = 1024 * 1024
const unavailable = 14
const deadlineExceeded = 4

interface Started {
  readonly redis: RedisServer
  readonly home: Home
  readonly server: ServerProcess
}

/** Each test starts its own Redis, because the test makes it fail. */
async function start(
  t: TestContext,
  options: RedisOptions = {},
  env: Record<string, string> = {},
  postgres = sharedPostgres(),
): Promise<Started> {
  const redis = await RedisServer.create(options)
  cleanup(t, () => redis.destroy())
  const home = await postgresHome(t, redisEnvironment(redis.url), postgres)
  const server = await startServer(t, { ...home, env: { ...home.env, ...env } })
  return { redis, home, server }
}

async function readiness(server: ServerProcess): Promise<number> {
  return (await request(server.http, '/readyz')).status
}

/** Publishes one message; returns the status code and the message of the error; the code is 0 on success. */
async function refusalOf(grpc: RawGrpcClient, deadlineMs: number): Promise<{ code: number; details: string }> {
  return grpc.publish({ events: orders(1) }, { deadlineMs }).then(
    () => ({ code: 0, details: '' }),
    ({ code, details }: ServiceError) => ({ code, details }),
  )
}

test('fault B1: kill -9 of Redis under load leaves only unknown outcomes, and every accepted event lands; PostgreSQL restarts too', async (t) => {
  const random = seededRandom(t)
  const postgres = await PostgresServer.create()
  cleanup(t, () => postgres.destroy())
  const environment = { MILLRACE_DURABILITY: 'disk' }
  const { redis, home, server } = await start(t, { flushes: true }, environment, Promise.resolve(postgres))
  const journal = new Journal()
  const stopping = new AbortController()
  const { signal } = stopping
  const loads = Promise.all([
    loadUnary(server, journal, { name: 'unary', signal, batchEvents: 5, pauseMs: 2 }),
    loadProduce(server, journal, { name: 'produce', signal, batchEvents: 25, pauseMs: 2 }),
    loadHttp(server, journal, { name: 'http', signal, batchEvents: 10, pauseMs: 5 }),
  ])
  loads.catch(() => {})
  await sleep(random.between(300, 800))

  await redis.stop('SIGKILL')
  assert.equal((await refusalOf(grpcClient(t, server), 10_000)).code, unavailable)
  await sleep(random.between(0, 500))
  const before = await home.countRows()
  await redis.start()
  const restartedAt = performance.now()
  await eventually(async () => assert.ok((await home.countRows()) > before), {
    withinMs: 5000,
    what: 'the first row after the restart',
  })
  t.diagnostic(`the first row ${Math.round(performance.now() - restartedAt)} ms after the restart`)

  await sleep(random.between(100, 400))
  await Promise.all([redis.stop('SIGKILL'), postgres.stop('SIGQUIT')])
  await Promise.all([redis.start(), postgres.start()])
  await sleep(random.between(200, 500))
  stopping.abort()
  await loads
  const ledger = await drained(server, 40_000)
  assertSound(t, compare({ journal, rows: await home.rows(), ledger }))
  assert.ok(journal.accepted > 500, `only ${journal.accepted} events were accepted`)
  assert.deepEqual(await server.stop(), { code: 0, signal: null })
})

test('fault B4: while Redis hangs every call is answered, memory stays flat, and publishing resumes afterwards', async (t) => {
  const { redis, home, server } = await start(t)
  // One connection carries a hundred concurrent calls.
  const clients = Array.from({ length: 4 }, () => grpcClient(t, server))
  const grpc = clients[0]!
  await grpc.publish({ events: orders(100) })
  await drained(server)
  const rssBefore = server.rssBytes
  const data = 'x'.repeat(20_000)

  redis.signal('SIGSTOP')
  cleanup(t, () => redis.signal('SIGCONT'))
  const stoppedAt = performance.now()
  const unary = Array.from({ length: 200 }, async (_, index) => {
    const sentAt = performance.now()
    const refusal = await refusalOf(clients[index % clients.length]!, 1500)
    return { ...refusal, tookMs: performance.now() - sentAt }
  })
  // A call without a deadline gets the server's.
  const http = Array.from({ length: 200 }, async () => {
    const { status } = await postJson(server.http, [{ type: 'big', data }], { deadlineMs: 30_000 })
    return { status, tookMs: performance.now() - stoppedAt }
  })
  for (const { code, details, tookMs } of await Promise.all(unary)) {
    assert.ok([unavailable, deadlineExceeded].includes(code), `${code} ${details}`)
    assert.ok(tookMs < 5000, `an answer took ${tookMs} ms`)
  }
  const answers = await Promise.all(http)
  for (const { status, tookMs } of answers) {
    assert.ok([503, 504].includes(status), `status ${status}`)
    assert.ok(tookMs < 15_000, `an answer took ${tookMs} ms`)
  }
  await sleep(Math.max(0, 8000 - (performance.now() - stoppedAt)))
  const grownBytes = server.rssBytes - rssBefore
  assert.ok(grownBytes <= 64 * mebibyte, `memory grew by ${grownBytes} bytes`)
  t.diagnostic(`the last answer after ${Math.round(Math.max(...answers.map(({ tookMs }) => tookMs)))} ms`)

  redis.signal('SIGCONT')
  await eventually(async () => assert.equal((await refusalOf(grpc, 2000)).code, 0), { what: 'accepting events again' })
  await eventually(async () => assert.equal(await readiness(server), 200))
  const [line] = await drained(server, 20_000)
  assert.partialDeepStrictEqual(line, { dead: 0, lost: 0, balanced: true })
  assert.equal(await home.countRows(), line?.landed)
  assert.doesNotMatch(server.stderr, /[Uu]nhandled/)
})

test('while Redis is down the server is not ready, uses little CPU, logs it once, and recovers by itself', async (t) => {
  const { redis, home, server } = await start(t)
  const grpc = grpcClient(t, server)
  await grpc.publish({ events: orders(100) })
  await drained(server)
  const linesBefore = server.logLines().length

  await redis.stop('SIGKILL')
  await eventually(async () => assert.equal(await readiness(server), 503))
  // Calls that fail immediately have failed by now.
  await sleep(1000)
  const [cpuBefore, began] = [server.cpuMs, performance.now()]
  await sleep(4000)
  const share = (server.cpuMs - cpuBefore) / (performance.now() - began)
  t.diagnostic(`CPU ${(share * 100).toFixed(1)} %`)
  assert.ok(share <= 0.05, `the server takes ${(share * 100).toFixed(1)} % of a core`)
  const said = server.logLines().slice(linesBefore)
  assert.ok(said.length <= 10, `${said.length} lines: ${JSON.stringify(said.slice(0, 20))}`)

  await redis.start()
  await eventually(async () => assert.equal(await readiness(server), 200), { withinMs: 5000 })
  await grpc.publish({ events: orders(100) })
  const [line] = await drained(server)
  assert.partialDeepStrictEqual(line, { accepted: 200, landed: 200, balanced: true })
  assert.equal(await home.countRows(), 200)
})

test('a replica that hangs makes a process unready that needs it for its durability', async (t) => {
  const { redis, server } = await start(t, {}, { MILLRACE_DURABILITY: 'replicated(1)' })
  const replica = await RedisServer.create({ replicaOf: redis })
  cleanup(t, () => replica.destroy())
  await eventually(async () => assert.equal(await readiness(server), 200))
  replica.signal('SIGSTOP')
  await eventually(async () => assert.equal(await readiness(server), 503), { withinMs: 20_000 })
  replica.signal('SIGCONT')
  await eventually(async () => assert.equal(await readiness(server), 200))
})
