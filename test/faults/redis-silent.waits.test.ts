// A Redis that is frozen: its connections stay open, and nothing answers.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { postgresHome, redisEnvironment } from '../support/backend.ts'
import { cleanup } from '../support/cleanup.ts'
import { orders } from '../support/events.ts'
import { within } from '../support/eventually.ts'
import { grpcClient } from '../support/grpc-client.ts'
import { RedisServer } from '../support/redis-server.ts'
import { startServer } from '../support/server-process.ts'
import { sharedPostgres } from '../support/shared-services.ts'
import { drained } from '../support/tally.ts'

test('a stop while Redis is silent ends at the drain deadline with exit code 0, and nothing is lost', async (t) => {
  const redis = await RedisServer.create()
  cleanup(t, () => redis.destroy())
  const home = await postgresHome(t, redisEnvironment(redis.url), sharedPostgres())
  const server = await startServer(t, { ...home, env: { ...home.env, MILLRACE_DRAIN_MS: '1000' } })
  await grpcClient(t, server).publish({ events: orders(10) })
  redis.signal('SIGSTOP')
  try {
    server.kill('SIGTERM')
    // Closing may exceed the drain time by 2 s; then the code is 1.
    assert.deepEqual(await within(10_000, 'the exit', server.exited), { code: 0, signal: null })
  } finally {
    redis.signal('SIGCONT')
  }
  // The stopped process could not release its events, so they stay leased to it for 30 s.
  const [line] = await drained(await startServer(t, home), 60_000)
  assert.deepEqual([line?.landed, line?.dead, line?.lost, line?.balanced], [10, 0, 0, true])
})
