// Processes that end while their handlers work.

import assert from 'node:assert/strict'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import type { EventInput } from '../../src/index.ts'
import { backends, type Home, inLongRun } from '../support/backend.ts'
import { samples } from '../support/depth.ts'
import { eventually } from '../support/eventually.ts'
import { getStatus } from '../support/http-client.ts'
import { clientOf } from '../support/publish.ts'
import { seededRandom } from '../support/random.ts'
import { defineHandlerModule, projectRoot, startServer } from '../support/server-process.ts'
import { tempDirectory } from '../support/temp-directory.ts'

const concurrency = 16

/** Settings of a server that runs the recording handler, and the path of its records. */
function recordingEnvironment(home: Pick<Home, 'dataDir' | 'env'>, maxAttempts: number) {
  const records = join(home.dataDir, 'records.txt')
  writeFileSync(records, '')
  const env = {
    ...home.env,
    MILLRACE_HANDLERS: join(projectRoot, 'test/support/recording-handler.ts'),
    MILLRACE_LEASE_MS: '2000',
    RECORDS: records,
    MAX_ATTEMPTS: String(maxAttempts),
  }
  return { env, records }
}

interface Records {
  /** id → the attempts that have begun. */
  readonly begun: Map<string, number[]>
  readonly ended: Set<string>
  readonly maxAtWork: number
}

function readRecords(path: string): Records {
  const begun = new Map<string, number[]>()
  const ended = new Set<string>()
  let maxAtWork = 0
  for (const line of readFileSync(path, 'utf8').trim().split('\n')) {
    const [what, id, attempt, atWork] = line.split(' ') as [string, string, string, string]
    if (what === 'end') ended.add(id)
    else {
      begun.set(id, [...(begun.get(id) ?? []), Number(attempt)])
      maxAtWork = Math.max(maxAtWork, Number(atWork))
    }
  }
  return { begun, ended, maxAtWork }
}

async function ledgerOf(server: { readonly http: string }) {
  const { ledger } = await getStatus(server.http)
  return ledger.find(({ group }) => group === 'recorder')!
}

async function publishAll(t: TestContext, server: { readonly grpc: string }, events: readonly EventInput[]) {
  const client = clientOf(t, server)
  for (let from = 0; from < events.length; from += 100) await client.publishEvents(events.slice(from, from + 100))
}

const increases = (numbers: readonly number[]) => numbers.every((each, at) => at === 0 || each > numbers[at - 1]!)

for (const backend of backends('redis', 'cluster')) {
  test(`workers are killed under load: each event is done, no attempt is repeated, and nothing is stuck (${backend.name})`, async (t) => {
    const random = seededRandom(t)
    const [kills, count] = [samples(2, 20), samples(200, 3000)]
    const home = await backend.home(t)
    const { env, records } = recordingEnvironment(home, 50)
    const { MILLRACE_HANDLERS: _, ...ingestEnv } = env
    const ingest = await startServer(t, { dataDir: tempDirectory(t), env: { ...ingestEnv, MILLRACE_ROLES: 'ingest' } })
    const startWorker = () => startServer(t, { dataDir: tempDirectory(t), env: { ...env, MILLRACE_ROLES: 'worker' } })
    const workers = [await startWorker(), await startWorker()]
    const workMs = () => random.between(5, 500)
    const events = Array.from({ length: count }, (_, id) => ({
      id: `e${id}`,
      type: 'work',
      data: { workMs: workMs() },
    }))
    await publishAll(t, ingest, events)

    for (let kill = 0; kill < kills; kill++) {
      const worker = workers[kill % 2]!
      await sleep(random.between(200, 1000))
      await worker.crash()
      await worker.start()
    }
    await eventually(async () => assert.equal((await ledgerOf(ingest)).waiting, 0), { withinMs: 120_000 })
    const { topic: _topic, group: _group, ...terms } = await ledgerOf(ingest)
    assert.deepEqual(terms, {
      ...{ accepted: count, reopened: 0, waiting: 0, landed: count, dead: 0, lost: 0, balanced: true },
    })
    const { begun, ended, maxAtWork } = readRecords(records)
    assert.equal(ended.size, count, 'each event was done')
    for (const [id, attempts] of begun) assert.ok(increases(attempts), `${id} began its attempts ${attempts}`)
    const again = [...begun.values()].filter(({ length }) => length > 1).length
    t.diagnostic(`${kills} kills, ${again} events began more than once, ${maxAtWork} at work at once`)
    assert.ok(again > 0 && maxAtWork === concurrency, 'the kills met events at work')
  })
}

for (const backend of backends('embedded', 'redis', 'cluster')) {
  test(`the events of each key are done in order, although processes are killed and events fail (${backend.name})`, async (t) => {
    const random = seededRandom(t)
    const [kills, keys, eventsOfKey] = [samples(2, 30), 20, samples(8, 100)]
    const home = await backend.home(t)
    const recorder = recordingEnvironment(home, 1000)
    const env = { ...recorder.env, ORDERED: 'true', MILLRACE_TOPICS: 'events:4' }
    const server = await startServer(t, { ...home, env })
    const others = backend.name === 'embedded' ? [] : [await startServer(t, { dataDir: tempDirectory(t), env })]
    const events = Array.from({ length: keys * eventsOfKey }, (_, at) => {
      const failures = random.between(1, 10) === 1 ? random.between(1, 3) : 0
      const [key, number] = [`k${at % keys}`, Math.floor(at / keys)]
      return { id: `${key}.${number}`, key, type: 'work', data: { workMs: random.between(1, 100), failures } }
    })
    await publishAll(t, server, events)

    for (let kill = 0; kill < kills; kill++) {
      const killed = random.pick([server, ...others])
      await sleep(random.between(200, 1000))
      await killed.crash()
      await killed.start()
    }
    await eventually(async () => assert.equal((await ledgerOf(server)).waiting, 0), { withinMs: 120_000 })
    const { accepted, landed, balanced } = await ledgerOf(server)
    assert.deepEqual([accepted, landed, balanced], [events.length, events.length, true])
    const done = [...readRecords(recorder.records).ended]
    for (const [key, own] of Map.groupBy(events, (event) => event.key)) {
      const ids = own.map(({ id }) => id)
      assert.deepEqual(
        done.filter((id) => id.startsWith(`${key}.`)),
        ids,
      )
    }
  })
}

// On the embedded log the example poison-handler shows it in every run.
for (const backend of backends(...inLongRun('embedded'), 'redis')) {
  test(`an event that ends its process is dead after its attempts, and all others are done (${backend.name})`, async (t) => {
    const count = samples(300, 10_000)
    const home = await backend.home(t)
    const { env, records } = recordingEnvironment(home, 3)
    const server = await startServer(t, { ...home, env })
    // In the last message, so that no publish that comes after it meets a process that has ended.
    const exit = count - 50
    const events = Array.from({ length: count }, (_, id) => ({
      ...{ id: `e${id}`, type: id === exit ? 'exit' : 'work', data: { workMs: 0 } },
    }))
    const isDone = async () => {
      const line = await ledgerOf(server)
      return line.accepted === count && line.waiting === 0
    }
    const publishing = publishAll(t, server, events).catch(() => {})
    let ends = 0
    for (;;) {
      const exited = server.exited.then(() => 'exited' as const)
      const ended = await Promise.race([
        exited,
        eventually(async () => assert.ok(await isDone()), { withinMs: 60_000 }),
      ])
      if (ended !== 'exited') break
      ends++
      assert.ok(ends <= 3, server.stderr.slice(-2000))
      // It may end again before it is ready.
      await server.start().catch(() => {})
    }
    await publishing
    const { landed, dead, balanced } = await ledgerOf(server)
    assert.deepEqual([landed, dead, balanced, ends], [count - 1, 1, true, 3])
    const { administration } = clientOf(t, server)
    const { deadLetters } = await eventually(async () => {
      const page = await administration.listDeadLetters({ limit: 10 })
      assert.equal(page.deadLetters.length, 1)
      return page
    })
    assert.match(deadLetters[0]!.message, /^the process ended in each of 3 attempts/)
    const { begun, ended } = readRecords(records)
    assert.deepEqual(begun.get(`e${exit}`), [1, 2, 3])
    assert.equal(ended.size, count - 1)
  })
}

test('an event that ends its process each time holds its key, until a person skips it', async (t) => {
  const home = { dataDir: tempDirectory(t), env: {} }
  const { env, records } = recordingEnvironment(home, 3)
  const server = await startServer(t, { ...home, env: { ...env, ORDERED: 'true', HOLDS: 'true' } })
  const events = Array.from({ length: 60 }, (_, at) => {
    const [key, number] = [`k${at % 6}`, Math.floor(at / 6)]
    return { id: `${key}.${number}`, key, type: key === 'k3' && number === 2 ? 'exit' : 'work', data: { workMs: 1 } }
  })
  const publishing = publishAll(t, server, events).catch(() => {})
  let ends = 0
  for (;;) {
    const exited = server.exited.then(() => 'exited' as const)
    const isHeld = async () => {
      const { topics } = await getStatus(server.http)
      const groups = topics.find(({ name }) => name === 'events')!.groups
      const { waiting, held } = groups.find(({ name }) => name === 'recorder')!
      assert.deepEqual([waiting, held], [8, 8])
    }
    if ((await Promise.race([exited, eventually(isHeld, { withinMs: 30_000 })])) !== 'exited') break
    ends++
    assert.ok(ends <= 3, server.stderr.slice(-2000))
    // It may end again before it is ready.
    await server.start().catch(() => {})
  }
  await publishing
  const { administration } = clientOf(t, server)
  await administration.releaseKey({ topic: 'events', group: 'recorder' }, 'k3', 'skip')
  await eventually(async () => assert.equal((await ledgerOf(server)).waiting, 0))
  const { landed, dead, balanced } = await ledgerOf(server)
  assert.deepEqual([landed, dead, balanced, ends], [59, 1, true, 3])
  const { begun, ended } = readRecords(records)
  assert.deepEqual(begun.get('k3.2'), [1, 2, 3])
  for (const key of ['k0', 'k3']) {
    const own = events.filter((event) => event.key === key && event.type === 'work').map(({ id }) => id)
    assert.deepEqual(
      [...ended].filter((id) => id.startsWith(`${key}.`)),
      own,
    )
  }
})

for (const backend of backends('redis')) {
  test(`a stopped process that has lost its lease, and goes on, keeps the order of what others held meanwhile (${backend.name})`, async (t) => {
    const home = await backend.home(t)
    const directory = tempDirectory(t)
    const [records, module] = [join(directory, 'records.txt'), join(directory, 'handler.ts')]
    writeFileSync(records, '')
    writeFileSync(
      module,
      `import { appendFileSync } from 'node:fs'
      import { once } from 'node:events'
      import { defineHandler } from '${defineHandlerModule}'
      export default defineHandler({ group: 'recorder', ordered: true, retry: { maxAttempts: 1 }, onExhausted: 'hold',
        async handle({ id }, { signal }) {
          appendFileSync('${records}', id + ' ')
          if (id === 'x') await once(signal, 'abort')
          if (id === 'k1') throw new Error('it fails')
        } })`,
    )
    const env = { ...home.env, MILLRACE_LEASE_MS: '2000', MILLRACE_TOPICS: 'events:1' }
    const ingest = await startServer(t, { dataDir: tempDirectory(t), env: { ...env, MILLRACE_ROLES: 'ingest' } })
    const startWorker = () =>
      startServer(t, {
        dataDir: tempDirectory(t),
        env: { ...env, MILLRACE_HANDLERS: module, MILLRACE_ROLES: 'worker' },
      })
    const { administration } = clientOf(t, ingest)
    const isHeld = (expected: Readonly<Record<string, number>>) =>
      eventually(async () => {
        const { keys } = await administration.heldKeys({ topic: 'events', group: 'recorder' }, 10)
        assert.deepEqual(Object.fromEntries(keys.map(({ key, events }) => [key, events])), expected)
      })
    const stopped = await startWorker()
    await publishAll(t, ingest, [{ id: 'x', key: 'x', type: 'work' }])
    await eventually(async () => assert.equal(readFileSync(records, 'utf8'), 'x '))
    stopped.kill('SIGSTOP')
    await publishAll(t, ingest, [{ id: 'k1', key: 'k', type: 'work' }])
    const other = await startWorker()
    await isHeld({ x: 1, k: 1 })
    await other.stop()
    stopped.kill('SIGCONT')
    await publishAll(t, ingest, [{ id: 'k2', key: 'k', type: 'work' }])
    await isHeld({ x: 1, k: 2 })
    assert.equal(readFileSync(records, 'utf8'), 'x k1 ')
  })
}
