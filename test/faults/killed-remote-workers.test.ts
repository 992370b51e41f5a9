// Workers outside the server, and the servers that they work for, are killed at random.

import assert from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { createClient } from 'redis'
import { backends } from '../support/backend.ts'
import { cleanup } from '../support/cleanup.ts'
import { samples } from '../support/depth.ts'
import { eventually } from '../support/eventually.ts'
import { freePort } from '../support/free-port.ts'
import { getStatus } from '../support/http-client.ts'
import { clientOf } from '../support/publish.ts'
import { seededRandom } from '../support/random.ts'
import { inherited, projectRoot, startServer, testedNodeArguments } from '../support/server-process.ts'
import { tempDirectory } from '../support/temp-directory.ts'

const [killCount, workerCount, groupConcurrency] = [samples(3, 120), samples(4, 20), samples(3, 8)]
const [count, eventsPerMessage] = [samples(200, 10_000), 10]
/** One of so many kills is a server's. */
const killsOfServer = 5
const program = join(projectRoot, 'test/support/counting-worker.ts')
const group = 'counted'
const options = { group, groupConcurrency, concurrency: 2, retry: { maxAttempts: 100, initialDelayMs: 20 } }

test('workers and servers are killed: each event is done, and no more are at work than the group allows', async (t) => {
  const random = seededRandom(t)
  const home = await backends('redis')[0]!.home(t)
  const url = home.env.MILLRACE_REDIS_URL!
  const key = `${home.env.MILLRACE_REDIS_PREFIX}:counted`
  const redis = await createClient({ url }).connect()
  cleanup(t, () => redis.close())
  const startOne = async () => {
    // It comes back at the same address.
    const env = { ...home.env, MILLRACE_LEASE_MS: '3000', MILLRACE_GRPC_PORT: String(await freePort()) }
    return await startServer(t, { dataDir: tempDirectory(t), env, readyWithinMs: 60_000 })
  }
  const servers = [await startOne(), await startOne()] as const
  const workers = new Set<ChildProcess>()
  const startWorker = (first: 0 | 1) => {
    const addresses = [servers[first].grpc, servers[first === 0 ? 1 : 0].grpc]
    const worker = spawn(
      process.execPath,
      [...testedNodeArguments, program, url, key, JSON.stringify(options), ...addresses],
      {
        env: inherited(),
        stdio: ['ignore', 'ignore', 'inherit'],
      },
    )
    workers.add(worker)
  }
  cleanup(t, async () => {
    for (const worker of workers) worker.kill('SIGKILL')
    await Promise.all([...workers].map((worker) => worker.exitCode ?? worker.signalCode ?? once(worker, 'exit')))
    await redis.del(key)
  })
  for (let each = 0; each < workerCount; each++) startWorker(each % 2 === 0 ? 0 : 1)
  const events = Array.from({ length: count }, (_, id) => ({
    ...{ id: `e${id}`, type: 'work' },
    data: { workMs: random.between(5, 100) },
  }))
  const client = clientOf(t, servers[0])
  for (let from = 0; from < count; from += eventsPerMessage)
    await client.publishEvents(events.slice(from, from + eventsPerMessage))
  await eventually(async () => assert.ok((await redis.xLen(key)) > 0), { withinMs: 120_000 })

  for (let kill = 0; kill < killCount; kill++) {
    await sleep(random.between(200, 1000))
    if (kill % killsOfServer === 1) {
      const server = servers[random.between(0, 1)]!
      await server.crash()
      await server.start()
    } else {
      const worker = [...workers][random.between(0, workers.size - 1)]!
      // What it writes afterwards does not count.
      await redis.xAdd(key, '*', { what: 'kill', worker: String(worker.pid), id: '' })
      worker.kill('SIGKILL')
      await once(worker, 'exit')
      workers.delete(worker)
      startWorker(random.between(0, 1) === 0 ? 0 : 1)
    }
  }
  const terms = await eventually(
    async () => {
      const { ledger } = await getStatus(servers[0].http)
      const line = ledger.find((each) => each.group === group)!
      assert.equal(line.waiting, 0)
      return line
    },
    { withinMs: 240_000 },
  )
  assert.deepEqual([terms.landed, terms.dead, terms.lost, terms.balanced], [count, 0, 0, true])

  const atWork = new Map<string, string>()
  const [done, killed, most] = [new Set<string>(), new Set<string>(), { atWork: 0 }]
  for (const { message } of (await redis.xRange(key, '-', '+'))!) {
    const { what, worker, id } = message as Record<'what' | 'worker' | 'id', string>
    if (what === 'kill') {
      killed.add(worker)
      for (const [name, of] of atWork) if (of === worker) atWork.delete(name)
    } else if (what === 'begin' && !killed.has(worker)) atWork.set(`${worker} ${id}`, worker)
    else atWork.delete(`${worker} ${id}`)
    if (what === 'done') done.add(id)
    most.atWork = Math.max(most.atWork, atWork.size)
  }
  assert.equal(done.size, count, 'each event was done')
  assert.equal(most.atWork, groupConcurrency)
})
