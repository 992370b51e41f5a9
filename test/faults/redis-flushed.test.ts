// A running Redis is emptied: publishing and landing go on, and what is gone is counted.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { postgresHome, redisEnvironment } from '../support/backend.ts'
import { cleanup } from '../support/cleanup.ts'
import { orders } from '../support/events.ts'
import { eventually } from '../support/eventually.ts'
import { grpcClient } from '../support/grpc-client.ts'
import { startInProcess } from '../support/in-process-server.ts'
import { RedisServer } from '../support/redis-server.ts'
import { drained } from '../support/tally.ts'

test('after FLUSHALL under two processes what is published lands within 2 s, and the ledger balances', async (t) => {
  const redis = await RedisServer.create()
  cleanup(t, () => redis.destroy())
  const home = await postgresHome(t, redisEnvironment(redis.url))
  const ingest = await startInProcess(t, { ...home, env: { ...home.env, MILLRACE_ROLES: 'ingest' } })
  await startInProcess(t, { ...home, env: { ...home.env, MILLRACE_ROLES: 'worker' } })
  const grpc = grpcClient(t, ingest)
  await grpc.publish({ events: orders(50) })
  // Landed and settled.
  await drained(ingest)

  await redis.command('FLUSHALL')
  const beganAtMs = performance.now()
  await grpc.publish({ events: orders(50) })
  await eventually(async () => assert.equal(await home.countRows(), 100))
  const tookMs = performance.now() - beganAtMs
  assert.ok(tookMs < 2_000, `${tookMs} ms`)
  const [line] = await drained(ingest, 20_000)
  assert.partialDeepStrictEqual(line, { accepted: 100, landed: 100, lost: 0, balanced: true })
})
