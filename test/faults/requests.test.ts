// Requests whose worker, or whose way back, fails while they run.

import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { defineHandler } from '../../src/index.ts'
import { backends, type Home, postgresHome, redisEnvironment } from '../support/backend.ts'
import { cleanup } from '../support/cleanup.ts'
import { eventually } from '../support/eventually.ts'
import { startFaultProxy } from '../support/fault-proxy.ts'
import { request } from '../support/http-client.ts'
import { startInProcess } from '../support/in-process-server.ts'
import { RedisServer } from '../support/redis-server.ts'
import { defineHandlerModule, startServer } from '../support/server-process.ts'
import { tempDirectory } from '../support/temp-directory.ts'

const ask = (server: { readonly http: string }, id: string) =>
  request(server.http, '/v1/requests/slow', {
    ...{ method: 'POST', body: '', headers: { 'millrace-request-id': id, prefer: 'wait=60' } },
    signal: AbortSignal.timeout(60_000),
  })

const stageOf = async (server: { readonly http: string }, id: string) => {
  const { status, text } = await request(server.http, `/v1/requests/${id}?type=slow`)
  return status === 202 ? JSON.parse(text).stage : status
}

/** A worker whose first attempt never ends, and whose second one answers. */
function workerOptions(home: Home, roles: string) {
  const module = join(home.dataDir, 'slow.ts')
  writeFileSync(
    module,
    `import { defineHandler } from '${defineHandlerModule}'
    export default defineHandler({
      request: 'slow',
      handle: (_, { attempt }) => (attempt === 1 ? new Promise(() => {}) : { answeredIn: attempt }),
    })`,
  )
  return {
    env: { ...home.env, MILLRACE_HANDLERS: module, MILLRACE_ROLES: roles, MILLRACE_LEASE_MS: '2000' },
    readyWithinMs,
  }
}

/** Processes start slowly where many of them run. */
const readyWithinMs = 60_000

const answered = '{"answeredIn":2}'

test('a worker is killed in the middle of a request, and another one answers the call that waits', async (t) => {
  const [backend] = backends('redis')
  const home = await backend!.home(t)
  const ingest = await startInProcess(t, { ...home, env: { ...home.env, MILLRACE_ROLES: 'ingest' } })
  const options = workerOptions(home, 'worker')
  const [killed] = [await startServer(t, { ...options, dataDir: tempDirectory(t) })]
  const waiting = ask(ingest, 'one')
  await eventually(async () => assert.equal(await stageOf(ingest, 'one'), 'started'))
  await startServer(t, { ...options, dataDir: tempDirectory(t) })
  await killed.crash()
  const { status, text, headers } = await waiting
  assert.deepEqual([status, text, headers.get('millrace-attempts')], [200, answered, '2'])
})

test('a process that does everything is killed in the middle of a request, and after its restart the reply is there', async (t) => {
  const [backend] = backends('embedded')
  const home = await backend!.home(t)
  const server = await startServer(t, { dataDir: home.dataDir, ...workerOptions(home, 'ingest,worker') })
  const cut = assert.rejects(ask(server, 'one'))
  await eventually(async () => assert.equal(await stageOf(server, 'one'), 'started'))
  await server.crash()
  await cut
  await server.start()
  const { status, text } = await request(server.http, '/v1/requests/one', { headers: { prefer: 'wait=9' } })
  assert.deepEqual([status, text], [200, answered])
})

test('a reply that is announced while the connection of the waiting process is cut arrives after all', async (t) => {
  const redis = await ownRedis(t)
  const proxy = await startFaultProxy(t, () => `127.0.0.1:${redis.port}`)
  const env = redisEnvironment(redis.url)
  const home = await postgresHome(t, env)
  const { promise: opened, resolve: open } = Promise.withResolvers<void>()
  const handle = async () => {
    await opened
    return 'the reply'
  }
  const handlers = [defineHandler({ request: 'slow', handle })]
  await startInProcess(t, { ...home, handlers, env: { ...home.env, MILLRACE_ROLES: 'worker' } })
  const viaProxy = { MILLRACE_REDIS_URL: `redis://${proxy.address}`, MILLRACE_ROLES: 'ingest' }
  const ingest = await startInProcess(t, { dataDir: tempDirectory(t), env: { ...home.env, ...viaProxy } })
  const waiting = ask(ingest, 'one')
  await eventually(async () => assert.equal(await stageOf(ingest, 'one'), 'started'))

  proxy.refuse = true
  proxy.cut()
  open()
  const stored = `${env.MILLRACE_REDIS_PREFIX}:{_request.slow/0}:request::one`
  await eventually(async () => assert.match(await redis.command('HGETALL', stored), /the reply/))
  proxy.heal()
  assert.equal((await waiting).text, 'the reply')
})

async function ownRedis(t: TestContext): Promise<RedisServer> {
  const redis = await RedisServer.create()
  cleanup(t, () => redis.destroy())
  return redis
}
