// Several processes with one log and one database: who takes events, who lands them, and what is left when one of them dies.

import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { connect } from '../../src/client/connect.ts'
import { backends, type Home } from '../support/backend.ts'
import { cleanup } from '../support/cleanup.ts'
import { orders } from '../support/events.ts'
import { eventually } from '../support/eventually.ts'
import { freePort } from '../support/free-port.ts'
import { getStatus, listEvents, request } from '../support/http-client.ts'
import { publish } from '../support/publish.ts'
import { seededRandom } from '../support/random.ts'
import { runCommand } from '../support/run-command.ts'
import { type ServerProcess, startServer } from '../support/server-process.ts'
import { drained } from '../support/tally.ts'
import { tempDirectory } from '../support/temp-directory.ts'

/** Soon over, so that what a killed worker held is soon given to another. */
const leaseMs = 2000

/** One more process at this place, with a directory of its own and, for `ingest`, a port that it comes back to. */
async function startRole(t: TestContext, home: Home, role: 'ingest' | 'worker'): Promise<ServerProcess> {
  const port = role === 'ingest' ? await freePort() : 0
  const env = {
    ...home.env,
    MILLRACE_ROLES: role,
    MILLRACE_GRPC_PORT: String(port),
    MILLRACE_LEASE_MS: String(leaseMs),
  }
  return startServer(t, { dataDir: tempDirectory(t), env })
}

async function startRoles(t: TestContext, home: Home, ingests: number, workers: number) {
  const start = (count: number, role: 'ingest' | 'worker') =>
    Promise.all(Array.from({ length: count }, () => startRole(t, home, role)))
  return { ingests: await start(ingests, 'ingest'), workers: await start(workers, 'worker') }
}

const [redis, cluster] = backends('redis', 'cluster')

for (const backend of [redis!, cluster!]) {
  test(`three processes take events and two land them: one of each is killed, and each event is one row (${backend.name})`, async (t) => {
    const random = seededRandom(t)
    const count = backend.name === 'redis' ? 40_000 : 20_000
    const home = await backend.home(t)
    const { ingests, workers } = await startRoles(t, home, 3, 2)

    const producing = runCommand(t, ['produce', String(count), '--rate', '8000'], {
      dataDir: home.dataDir,
      env: { MILLRACE_ADDRESS: ingests.map(({ grpc }) => grpc).join(',') },
      withinMs: 90_000,
    })
    for (const killed of [workers[0]!, ingests[0]!]) {
      await sleep(random.between(500, 1000))
      await killed.crash()
      await sleep(random.between(100, 500))
      await killed.start()
    }
    const { code, stdout, stderr } = await producing

    assert.equal(code, 0, stderr)
    assert.match(stdout, new RegExp(`accepted ${count}, dropped 0, rejected 0`))
    const [line] = await drained(ingests[1]!, 30_000)
    assert.partialDeepStrictEqual(line, { accepted: count, landed: count, dead: 0, lost: 0, balanced: true })
    const [rows] = await home.query('SELECT count(*) AS n, count(DISTINCT event_id) AS ids FROM landed')
    assert.deepEqual(rows, { n: count, ids: count })
  })
}

test('what one process took, another one tells, before it has landed and after', async (t) => {
  const home = await redis!.home(t)
  const { ingests } = await startRoles(t, home, 2, 0)
  const [first, second] = ingests as [ServerProcess, ServerProcess]
  await publish(first, 'events', orders(50))
  await eventually(async () => {
    const { ledger } = await getStatus(second.http)
    assert.partialDeepStrictEqual(
      ledger.find(({ topic }) => topic === 'events'),
      { accepted: 50, waiting: 50, landed: 0, balanced: true },
    )
  })

  await startRole(t, home, 'worker')
  await drained(second)
  assert.equal((await listEvents(second.http, 'limit=1000')).events.length, 50)
  const { ledger } = await getStatus(first.http)
  assert.partialDeepStrictEqual(
    ledger.find(({ topic }) => topic === 'events'),
    { accepted: 50, waiting: 0, landed: 50, balanced: true },
  )
})

test('a worker says how it is and what it counts, and answers no other call', async (t) => {
  const home = await redis!.home(t)
  const { ingests, workers } = await startRoles(t, home, 1, 1)
  const [worker, ingest] = [workers[0]!, ingests[0]!]
  assert.equal(worker.grpc, '', 'it has no gRPC')
  await publish(ingest, 'events', orders(20))
  await drained(ingest)

  for (const path of ['/livez', '/readyz', '/healthz', '/version', '/v1/status']) {
    assert.equal((await request(worker.http, path)).status, 200, path)
  }
  const { text } = await request(worker.http, '/metrics')
  assert.match(text, /^millrace_log_waiting_events\{topic="events",group="landing"\} 0$/m)
  for (const path of ['/v1/events', '/v1/dead-letters', '/v1/events/x']) {
    const answer = await request(worker.http, path)
    assert.equal(answer.status, 404, path)
    assert.match(answer.headers.get('content-type') ?? '', /^application\/problem\+json/, path)
  }
  const posted = await request(worker.http, '/v1/events', { method: 'POST', body: '{"type":"t"}' })
  assert.equal(posted.status, 404)
})

test('a process that is told to stop under load loses nothing, and no call of the client fails', async (t) => {
  const home = await redis!.home(t)
  const { ingests, workers } = await startRoles(t, home, 2, 2)
  const client = connect({ addresses: ingests.map(({ grpc }) => grpc) })
  cleanup(t, () => client.close())
  const publisher = client.publisher({ overflow: 'wait', maxMessageEvents: 50 })
  const stopping = new AbortController()
  let [added, called] = [0, 0]
  const producing = (async () => {
    for (; !stopping.signal.aborted; added++) {
      if (!publisher.add({ type: 'produced', data: { number: added } })) await publisher.ready()
      if (added % 20 === 0) await sleep(2)
    }
  })()
  const calling = (async () => {
    for (; !stopping.signal.aborted; called++) {
      const { accepted } = await client.publishEvents([{ type: 'called', data: { number: called } }])
      assert.equal(accepted, 1)
    }
  })()

  for (const one of [ingests[0]!, workers[0]!, ingests[1]!, workers[1]!]) {
    await sleep(500)
    assert.deepEqual(await one.stop(), { code: 0, signal: null })
    await one.start()
  }
  stopping.abort()
  await Promise.all([producing, calling])
  const totals = await publisher.close()

  assert.deepEqual([totals.accepted, totals.dropped, totals.rejected], [added, 0, 0])
  const [line] = await drained(ingests[0]!, 30_000)
  assert.partialDeepStrictEqual(line, { dead: 0, lost: 0, balanced: true })
  assert.equal(await home.countRows(`type = 'produced'`), added)
  assert.equal(await home.countRows(`type = 'called'`), called)
})

test('of processes that share a data directory none takes away the addresses of another', async (t) => {
  const home = await redis!.home(t)
  const first = await startServer(t, home)
  const second = await startServer(t, home)
  const worker = await startServer(t, { ...home, env: { ...home.env, MILLRACE_ROLES: 'worker' } })
  const found = async () => (await runCommand(t, ['status'], { dataDir: home.dataDir })).code === 0
  await worker.stop()
  await first.stop()
  assert.ok(await found(), 'the second one is found')
  await second.stop()
  assert.ok(!(await found()), 'there is none any more')
})
