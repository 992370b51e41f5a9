// The worker in Python of examples/python-worker, as a person would run it.

import assert from 'node:assert/strict'
import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { backends } from '../support/backend.ts'
import { cleanup } from '../support/cleanup.ts'
import { samples } from '../support/depth.ts'
import { eventually } from '../support/eventually.ts'
import { getStatus, metricsOf } from '../support/http-client.ts'
import { type InProcessServer, startInProcess } from '../support/in-process-server.ts'
import { clientOf } from '../support/publish.ts'
import { projectRoot } from '../support/server-process.ts'

const events = samples(3000, 10_000)
const packages = 'python3-grpcio python3-protobuf protobuf-compiler libprotobuf-dev'
const python = ['/usr/bin/python3', 'python3'].find(
  (program) => spawnSync(program, ['-c', 'import grpc, google.protobuf']).status === 0,
)
const isHere = python !== undefined && spawnSync('protoc', ['--version']).status === 0
const skip = isHere ? false : `no Python with grpc, or no protoc: on Debian, run apt-get install ${packages}`

function startWorker(t: TestContext, server: InProcessServer): ChildProcess {
  const program = join(projectRoot, 'examples/python-worker/worker.py')
  const worker = spawn(python!, [program, server.grpc], { stdio: ['ignore', 'ignore', 'inherit'] })
  cleanup(t, () => void worker.kill('SIGKILL'))
  return worker
}

async function ledgerOf(server: InProcessServer) {
  const { ledger } = await getStatus(server.http)
  const line = ledger.find(({ group }) => group === 'kitchen')
  return line ?? assert.fail('the worker has not joined yet')
}

async function attemptsOf(server: InProcessServer): Promise<Record<string, number>> {
  const text = await metricsOf(server)
  const lines = [...text.matchAll(/^millrace_handler_attempts_total\{(.*)\} (\d+)$/gm)]
  const counts = lines.filter(([, labels]) => labels!.includes('group="kitchen"'))
  return Object.fromEntries(counts.map(([, labels, count]) => [/end="(\w+)"/.exec(labels!)![1], Number(count)]))
}

for (const backend of backends('embedded', 'redis')) {
  test(`events by the thousand are done by a worker in Python that is killed once (${backend.name})`, {
    skip,
  }, async (t) => {
    const home = await backend.home(t)
    const server = await startInProcess(t, { ...home, env: { ...home.env, MILLRACE_MAX_ATTEMPTS: '20' } })
    const client = clientOf(t, server)
    const orders = Array.from({ length: events }, (_, index) => ({ type: 'order.placed', data: { number: index + 1 } }))
    await client.publishEvents(orders)
    const killed = startWorker(t, server)
    await eventually(async () => assert.ok((await ledgerOf(server)).landed! >= events / 4), {
      withinMs: 60_000,
      everyMs: 5,
    })
    killed.kill('SIGKILL')
    const { landed } = await ledgerOf(server)
    assert.ok(landed! < events, 'it was too quick to be killed')

    const worker = startWorker(t, server)
    const terms = await eventually(
      async () => {
        const line = await ledgerOf(server)
        assert.equal(line.waiting, 0)
        return line
      },
      { withinMs: 120_000 },
    )
    const refused = events / 50
    assert.deepEqual([terms.accepted, terms.landed, terms.dead], [events, events - refused, refused])
    const { done, dead, failed = 0 } = await attemptsOf(server)
    assert.deepEqual([done, dead], [events - refused, refused])
    // One of ten, but those that are refused, is too busy at first; and eight at most were at work in what was killed.
    const busy = events / 10 - refused
    assert.ok(failed >= busy && failed <= busy + 8, `${failed} attempts have failed, of ${busy} that were too busy`)

    worker.kill('SIGTERM')
    assert.deepEqual(await once(worker, 'exit'), [0, null])
    const { deadLetters } = await client.administration.listDeadLetters({ limit: 1 })
    assert.deepEqual([deadLetters[0]?.message, deadLetters[0]?.attempts], ['we are out of soup', 1])
  })
}

test('a worker in Python whose server is away stops on SIGTERM', { skip }, async (t) => {
  const server = await startInProcess(t)
  const worker = startWorker(t, server)
  await eventually(() => ledgerOf(server))
  await server.stop()
  worker.kill('SIGTERM')
  assert.deepEqual(await once(worker, 'exit'), [0, null])
})
