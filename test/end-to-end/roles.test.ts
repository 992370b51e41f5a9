// Several processes with one log and one database: which accept events, which land them, and what is left when one
// dies.

import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { connect } from '../../src/client/connect.ts'
import { defineHandler } from '../../src/index.ts'
import { backends, type Home } from '../support/backend.ts'
import { cleanup } from '../support/cleanup.ts'
import { samples } from '../support/depth.ts'
import { orders } from '../support/events.ts'
import { eventually } from '../support/eventually.ts'
import { freePort } from '../support/free-port.ts'
import { getStatus, listEvents, metricsOf, request } from '../support/http-client.ts'
import { type InProcessServer, startInProcess } from '../support/in-process-server.ts'
import { publish } from '../support/publish.ts'
import { seededRandom } from '../support/random.ts'
import { runCommand } from '../support/run-command.ts'
import { type ServerOptions, startServer } from '../support/server-process.ts'
import { drained } from '../support/tally.ts'
import { tempDirectory } from '../support/temp-directory.ts'

/** Short, so that the deliveries of a killed worker soon go to another one. */
const leaseMs = 2000

type Role = 'ingest' | 'worker'
type Start<Server> = (t: TestContext, options: ServerOptions) => Promise<Server>

/** One more server of this home, with its own directory and, for `ingest`, a port that it keeps over restarts. */
async function startRole<Server>(t: TestContext, home: Home, role: Role, start: Start<Server>): Promise<Server> {
  const port = role === 'ingest' ? await freePort() : 0
  const env = {
    ...home.env,
    MILLRACE_ROLES: role,
    MILLRACE_GRPC_PORT: String(port),
    MILLRACE_LEASE_MS: String(leaseMs),
  }
  return start(t, { dataDir: tempDirectory(t), env })
}

async function startRoles<Server>(
  t: TestContext,
  home: Home,
  ingests: number,
  workers: number,
  start: Start<Server>,
): Promise<{ ingests: Server[]; workers: Server[] }> {
  const startAll = (count: number, role: Role) =>
    Promise.all(Array.from({ length: count }, () => startRole(t, home, role, start)))
  return { ingests: await startAll(ingests, 'ingest'), workers: await startAll(workers, 'worker') }
}

for (const backend of backends('redis', 'cluster')) {
  test(`three processes accept events and two land them: one of each is killed, and each event has one row (${backend.name})`, async (t) => {
    const random = seededRandom(t)
    const count = samples(6_000, 40_000)
    const home = await backend.home(t)
    const { ingests, workers } = await startRoles(t, home, 3, 2, startServer)

    const producing = runCommand(['produce', String(count), '--rate', '8000'], {
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

  test(`an event that one process accepted is shown by another, before it has landed and after (${backend.name})`, async (t) => {
    const home = await backend.home(t)
    const { ingests } = await startRoles(t, home, 2, 0, startInProcess)
    const [first, second] = ingests as [InProcessServer, InProcessServer]
    await publish(first, 'events', orders(50))
    await eventually(async () => {
      const { ledger } = await getStatus(second.http)
      assert.partialDeepStrictEqual(
        ledger.find(({ topic }) => topic === 'events'),
        { accepted: 50, waiting: 50, landed: 0, balanced: true },
      )
    })

    await startRole(t, home, 'worker', startInProcess)
    await drained(second)
    assert.equal((await listEvents(second.http, 'limit=1000')).events.length, 50)
    const { ledger } = await getStatus(first.http)
    assert.partialDeepStrictEqual(
      ledger.find(({ topic }) => topic === 'events'),
      { accepted: 50, waiting: 0, landed: 50, balanced: true },
    )
  })

  test(`a worker serves its health, version, status and metrics, and no other call (${backend.name})`, async (t) => {
    const home = await backend.home(t)
    const { ingests, workers } = await startRoles(t, home, 1, 1, startInProcess)
    const [worker, ingest] = [workers[0]!, ingests[0]!]
    assert.equal(worker.grpc, '', 'it has no gRPC port')
    await publish(ingest, 'events', orders(20))
    await drained(ingest)

    for (const path of ['/livez', '/readyz', '/healthz', '/version', '/v1/status']) {
      assert.equal((await request(worker.http, path)).status, 200, path)
    }
    const text = await metricsOf(worker)
    assert.match(text, /^millrace_log_waiting_events\{topic="events",group="landing"\} 0$/m)
    for (const path of ['/v1/events', '/v1/dead-letters', '/v1/events/x']) {
      const answer = await request(worker.http, path)
      assert.equal(answer.status, 404, path)
      assert.match(answer.headers.get('content-type') ?? '', /^application\/problem\+json/, path)
    }
    const posted = await request(worker.http, '/v1/events', { method: 'POST', body: '{"type":"t"}' })
    assert.equal(posted.status, 404)
  })

  test(`a process that is stopped under load loses nothing, and no call of the client fails (${backend.name})`, async (t) => {
    const home = await backend.home(t)
    const { ingests, workers } = await startRoles(t, home, 2, 2, startInProcess)
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
      await one.stop()
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

  test(`while no process works on a group, the status says so, and what is missing (${backend.name})`, async (t) => {
    const home = await backend.home(t)
    const ingest = await startRole(t, home, 'ingest', startInProcess)
    const stateOf = async (name: string) => {
      const { topics } = await getStatus(ingest.http)
      const found = topics.find((topic) => topic.name === 'events')!.groups.find((group) => group.name === name)!
      const { is, by, reason } = found.state
      return { ready: found.ready, is, by, reason }
    }
    const running = { is: 'running', by: null, reason: null }
    const handlers = [defineHandler({ group: 'mailer', handle: () => undefined })]
    const env = { ...home.env, MILLRACE_ROLES: 'worker' }
    const mailer = await startInProcess(t, { dataDir: tempDirectory(t), env, handlers })
    await publish(ingest, 'events', orders(1))
    await drained(ingest)
    assert.deepEqual(await stateOf('mailer'), { ready: 0, ...running })
    await mailer.stop()
    await publish(ingest, 'events', orders(20))
    const missing = { ready: 20, is: 'no_worker', by: null }
    const withoutHandler = { ...missing, reason: 'no process that runs has its handler' }
    await eventually(async () => {
      const reason = 'no process with the role worker is running'
      assert.deepEqual(await stateOf('landing'), { ...missing, reason })
      assert.deepEqual(await stateOf('mailer'), withoutHandler)
    })

    await startRole(t, home, 'worker', startInProcess)
    await eventually(async () => assert.deepEqual(await stateOf('landing'), { ready: 0, ...running }))
    assert.deepEqual(await stateOf('mailer'), withoutHandler)
    const { stdout } = await runCommand(['groups', 'list', '--topic', 'events'], { dataDir: ingest.dataDir })
    assert.match(stdout, /mailer .* no worker: no process that runs has its handler$/m)
    await mailer.start()
    await eventually(async () => assert.deepEqual(await stateOf('mailer'), { ready: 0, ...running }))
    const [event] = (await listEvents(ingest.http, 'limit=1')).events
    const { text } = await request(ingest.http, `/v1/events/${event!.event_id}`)
    const message = 'the process that was asked has no handler of this group; each process keeps its own times'
    assert.deepEqual(JSON.parse(text).journey.steps.at(-1), { step: 'not_kept', at: null, group: 'mailer', message })
  })

  test(`processes that share a data directory keep each other's published addresses (${backend.name})`, async (t) => {
    const home = await backend.home(t)
    const first = await startInProcess(t, home)
    const second = await startInProcess(t, home)
    const worker = await startInProcess(t, { ...home, env: { ...home.env, MILLRACE_ROLES: 'worker' } })
    await worker.stop()
    await first.stop()
    assert.equal((await runCommand(['status'], { dataDir: home.dataDir })).code, 0, 'the second one is found')
    await second.stop()
    assert.ok(!existsSync(join(home.dataDir, 'addresses.json')))
  })
}

test('an embedded process that only accepts says that nothing lands, until a process with all roles lands it', async (t) => {
  const dataDir = tempDirectory(t)
  const landing = async (server: InProcessServer) => {
    const { topics } = await getStatus(server.http)
    return topics.find(({ name }) => name === 'events')!.groups[0]!
  }
  const ingest = await startInProcess(t, { dataDir, env: { MILLRACE_ROLES: 'ingest' } })
  assert.equal((await landing(ingest)).state.is, 'running', 'nothing is ready')
  await publish(ingest, 'events', orders(5))
  await eventually(async () => {
    const { ready, state } = await landing(ingest)
    assert.deepEqual([ready, state.is], [5, 'no_worker'])
  })
  await ingest.stop()

  const server = await startInProcess(t, { dataDir })
  await drained(server)
  assert.equal((await landing(server)).state.is, 'running')
})
