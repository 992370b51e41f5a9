import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { postgresHome, redisEnvironment } from '../support/backend.ts'
import { assertSound, compare } from '../support/checker.ts'
import { cleanup } from '../support/cleanup.ts'
import { eventually } from '../support/eventually.ts'
import { Journal } from '../support/journal.ts'
import { loadProduce, loadUnary } from '../support/load.ts'
import { seededRandom } from '../support/random.ts'
import { RedisCluster } from '../support/redis-cluster.ts'
import { startServer } from '../support/server-process.ts'
import { drained } from '../support/tally.ts'

test('a master of the Cluster dies under load and its replica takes over: no event accepted at replicated(1) is lost', async (t) => {
  const random = seededRandom(t)
  const cluster = await RedisCluster.create({ hasReplicas: true, nodeTimeoutMs: 2000 })
  cleanup(t, () => cluster.destroy())
  const home = await postgresHome(t, redisEnvironment(cluster.url))
  const server = await startServer(t, { ...home, env: { ...home.env, MILLRACE_DURABILITY: 'replicated(1)' } })
  const journal = new Journal()
  const stopping = new AbortController()
  const { signal } = stopping
  const loads = Promise.all([
    loadUnary(server, journal, { name: 'unary', signal, batchEvents: 5, pauseMs: 3 }),
    loadProduce(server, journal, { name: 'produce', signal, batchEvents: 25, pauseMs: 3 }),
  ])
  loads.catch(() => {})
  await sleep(random.between(500, 1000))

  const [master, replica] = [cluster.masters[0]!, cluster.replicas[0]!]
  await master.stop('SIGKILL')
  await eventually(async () => assert.match(await replica.command('ROLE'), /master/), {
    withinMs: 20_000,
    what: 'the replica as master',
  })
  // The new master has no replica until the old master is back, so replicated(1) accepts nothing there until then.
  const acceptedBefore = journal.accepted
  await master.start()
  await eventually(() => assert.ok(journal.accepted > acceptedBefore + 200), { withinMs: 20_000, what: 'more events' })
  stopping.abort()
  await loads

  const ledger = await drained(server, 40_000)
  assertSound(t, compare({ journal, rows: await home.rows(), ledger }))
  assert.deepEqual(await server.stop(), { code: 0, signal: null })
})
