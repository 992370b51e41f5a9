// After a restore the log or the database is an old copy: the start and doctor say what is missing and what brings it back.

import assert from 'node:assert/strict'
import { copyFileSync, mkdirSync, readdirSync, rmSync, statSync, truncateSync } from 'node:fs'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { openEventLog } from '../../src/event-log/open-event-log.ts'
import { dead, defineHandler } from '../../src/index.ts'
import { backends, type Home, inLongRun } from '../support/backend.ts'
import { order, orders } from '../support/events.ts'
import { eventually } from '../support/eventually.ts'
import { grpcClient } from '../support/grpc-client.ts'
import { getStatus } from '../support/http-client.ts'
import { type InProcessServer, startInProcess } from '../support/in-process-server.ts'
import { runCommand } from '../support/run-command.ts'
import { sharedPostgres } from '../support/shared-services.ts'
import { drained } from '../support/tally.ts'

type File = 'log' | 'store'

/** Copies the closed files of the log or the store, as a backup does. */
function keep({ dataDir }: Home, file: File): void {
  mkdirSync(join(dataDir, 'backup'), { recursive: true })
  for (const name of namesOf(dataDir, file)) copyFileSync(join(dataDir, name), join(dataDir, 'backup', name))
}

function putBack({ dataDir }: Home, file: File): void {
  for (const name of namesOf(dataDir, file)) rmSync(join(dataDir, name))
  const backup = join(dataDir, 'backup')
  for (const name of namesOf(backup, file)) copyFileSync(join(backup, name), join(dataDir, name))
}

function namesOf(directory: string, file: File): string[] {
  return readdirSync(directory).filter((name) => name.startsWith(`${file}.`))
}

/** Keeps and restores the database of either backend. */
async function keepDatabase(home: Home): Promise<void> {
  if (home.postgresUrl === null) keep(home, 'store')
  else await home.execute('CREATE TABLE backup AS SELECT * FROM events')
}

async function putBackDatabase(home: Home): Promise<void> {
  if (home.postgresUrl === null) putBack(home, 'store')
  else await home.execute('TRUNCATE events; INSERT INTO events SELECT * FROM backup')
}

const refusing = {
  sqlite: `CREATE TRIGGER refuse BEFORE INSERT ON events WHEN NEW.type = 'refused'
    BEGIN SELECT RAISE(ABORT, 'refused by the test'); END`,
  postgres: `ALTER TABLE events ADD CONSTRAINT refuse CHECK (type <> 'refused')`,
}

const warningsOf = (server: InProcessServer): string[] =>
  server
    .logLines()
    .filter(({ level }) => level === 'warn')
    .map(({ message }) => String(message))
    .filter((message) => /older than|could not be compared/.test(message))

async function start(t: TestContext, home: Home): Promise<InProcessServer> {
  return await startInProcess(t, { dataDir: home.dataDir, env: home.env, topics: ['other:2'] })
}

for (const backend of backends('embedded', ...inLongRun('embedded log, PostgreSQL'), 'redis')) {
  test(`a database that is older than the log is found, and the replay that is named completes it (${backend.name})`, async (t) => {
    const home = await backend.home(t)
    const withoutSource = [order(0, { source: '', id: 'order-1' }), ...orders(24, { source: '' })]
    const before = [...withoutSource, ...orders(275)]
    let server = await start(t, home)
    let grpc = grpcClient(t, server)
    await grpc.publish({ events: before })
    await grpc.publish({ topic: 'other', events: orders(10) })
    await drained(server)
    await server.stop()
    await home.execute(home.postgresUrl === null ? refusing.sqlite : refusing.postgres)
    await keepDatabase(home)
    server = await start(t, home)
    assert.deepEqual(warningsOf(server), [])
    grpc = grpcClient(t, server)
    // Duplicates and dead letters are settled too, and no replay has to bring them back.
    await grpc.publish({ events: [...orders(200), ...before.slice(0, 50)] })
    await grpc.publish({ events: orders(20, { priority: 3 }) })
    await grpc.publish({ events: orders(1, { type: 'refused' }) })
    await drained(server)
    await server.stop()
    await putBackDatabase(home)
    const doctor = await runCommand(['doctor'], home)
    server = await start(t, home)

    const [warning = '', ...others] = warningsOf(server)
    assert.deepEqual(others, [])
    // The old store.db has no dead letter for it; in PostgreSQL that table was not restored.
    const missing = home.postgresUrl === null ? '221' : 'at least 220'
    const said =
      /^the database is older than the log by (.+) events of topic events; "millrace (replay --topic events --since \S+)" brings back (.+)$/
    const [, behind, replay = '', cured] = said.exec(warning) ?? []
    assert.deepEqual([behind, cured], [missing, missing], warning)
    // Doctor does not read the entries of a log on Redis.
    const isShown = /warning +store +the database is older than the log by/.test(doctor.stdout)
    assert.deepEqual([doctor.code, isShown], [0, backend.name !== 'redis'])
    const address = ['--address', server.grpc]
    const replayed = await runCommand([...replay.split(' '), ...address], { dataDir: home.dataDir })
    assert.equal(replayed.code, 0, replayed.stderr)
    await drained(server)
    assert.equal(await home.countRows(), 530)
    await server.stop()
    server = await start(t, home)
    assert.deepEqual(warningsOf(server), [])
  })
}

test('a database that has lost all events of a topic gets them back by the replay that is named', async (t) => {
  const [backend] = backends('embedded log, PostgreSQL')
  const home = await backend!.home(t)
  let server = await start(t, home)
  // The start compares the last 1,000 events of a stream first.
  for (let sent = 0; sent < 2500; sent += 500) await grpcClient(t, server).publish({ events: orders(500) })
  await grpcClient(t, server).publish({ topic: 'other', events: orders(10, { type: 'kept' }) })
  await drained(server)
  await server.stop()
  await home.execute("DELETE FROM events WHERE type <> 'kept'")
  server = await start(t, home)

  const [warning = '', ...others] = warningsOf(server)
  assert.deepEqual(others, [])
  assert.match(warning, /older than the log by at least 2500 events of topic events; .+ brings back at least 2500$/)
  const [, replay = ''] = /"millrace (replay .+)"/.exec(warning) ?? []
  const replayed = await runCommand([...replay.split(' '), '--address', server.grpc], { dataDir: home.dataDir })
  assert.equal(replayed.code, 0, replayed.stderr)
  await drained(server)
  assert.equal(await home.countRows(), 2510)
})

test('the dead letters of handlers that an older database lacks come back by the replay that is named', async (t) => {
  const [embedded] = backends('embedded')
  const home = await embedded!.home(t)
  const open = () =>
    startInProcess(t, { ...home, handlers: [defineHandler({ group: 'refuser', handle: () => dead('no') })] })
  const died = (letters: number) =>
    eventually(async () => {
      const [row] = await home.query('SELECT count(*) AS n FROM dead_letters')
      assert.equal(Number(row?.n), letters)
    })
  let server = await open()
  await grpcClient(t, server).publish({ events: orders(5) })
  await died(5)
  await drained(server)
  await server.stop()
  keep(home, 'store')
  server = await open()
  await grpcClient(t, server).publish({ events: orders(20) })
  await died(25)
  await drained(server)
  await server.stop()
  putBack(home, 'store')
  server = await open()

  const [events = '', deadLetters = '', ...others] = warningsOf(server)
  assert.deepEqual(others, [])
  assert.match(events, /by 20 events of topic events; /)
  assert.match(deadLetters, /^the database is older than the log by 20 dead letters; /)
  const [, replay = ''] = /"millrace (replay .+)"/.exec(deadLetters) ?? []
  const replayed = await runCommand([...replay.split(' '), '--address', server.grpc], { dataDir: home.dataDir })
  assert.equal(replayed.code, 0, replayed.stderr)
  await died(25)
})

test('a database that is restored under a running server is compared when it answers again', async (t) => {
  const [backend] = backends('embedded log, PostgreSQL')
  const home = await backend!.home(t)
  const server = await start(t, home)
  await grpcClient(t, server).publish({ events: orders(100) })
  await grpcClient(t, server).publish({ events: orders(40, { type: 'lost' }) })
  await drained(server)

  const postgres = await sharedPostgres()
  const url = new URL(home.postgresUrl!)
  const name = url.pathname.slice(1)
  url.pathname = `/${name}_away`
  await postgres.query(`ALTER DATABASE "${name}" ALLOW_CONNECTIONS false`)
  await postgres.query('SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = $1', [name])
  await postgres.query(`ALTER DATABASE "${name}" RENAME TO "${name}_away"`)
  await eventually(async () => {
    const { causes } = await getStatus(server.http)
    assert.deepEqual(
      causes.filter(({ component }) => component === 'store').map(({ reason }) => reason),
      ['failed_precondition'],
    )
  })
  await postgres.query(`ALTER DATABASE "${name}_away" ALLOW_CONNECTIONS true`)
  await postgres.query("DELETE FROM events WHERE type = 'lost'", [], url.href)
  await postgres.query(`ALTER DATABASE "${name}_away" RENAME TO "${name}"`)
  await eventually(() => assert.equal(warningsOf(server).length, 1))
  assert.match(warningsOf(server)[0]!, /older than the log by at least 40 events of topic events; "millrace replay/)
})

for (const backend of backends('embedded', 'embedded log, PostgreSQL')) {
  test(`a log that is older than the database is found (${backend.name})`, async (t) => {
    const home = await backend.home(t)
    let server = await start(t, home)
    await grpcClient(t, server).publish({ events: orders(100) })
    await drained(server)
    await server.stop()
    keep(home, 'log')
    server = await start(t, home)
    await grpcClient(t, server).publish({ events: orders(50) })
    await drained(server)
    await server.stop()
    putBack(home, 'log')
    server = await start(t, home)

    const [warning = '', ...others] = warningsOf(server)
    assert.deepEqual(others, [])
    assert.match(warning, /^the log is older than the database by at least 50 events: /)
    assert.match(warning, /events up to events\/0\/normal@1:150, the log ends at events\/0\/normal@1:100\./)
    await grpcClient(t, server).publish({ events: orders(60) })
    await drained(server)
    assert.equal(await home.countRows(), 210)
  })
}

test('settled events that the log has trimmed are counted as gone', async (t) => {
  const [embedded] = backends('embedded')
  const home = await embedded!.home(t)
  let server = await start(t, home)
  await grpcClient(t, server).publish({ events: orders(100) })
  await drained(server)
  await server.stop()
  keep(home, 'store')
  server = await start(t, home)
  await grpcClient(t, server).publish({ events: orders(40) })
  await drained(server)
  await server.stop()
  const log = await openEventLog(
    { dataDir: home.dataDir, diskReserveBytes: 0 },
    { logger: { info() {}, warn() {} }, now: Date.now },
  )
  await log.trim('events', { keepSinceMs: Date.now() + 1000, maxBytes: 0 })
  await log.close()
  putBack(home, 'store')
  server = await start(t, home)
  assert.deepEqual(warningsOf(server), [
    'the database is older than the log by 40 events of topic events; 40 are no longer in the log',
  ])
})

test('after a repair of the log, which begins a new epoch, nothing is reported', async (t) => {
  const [embedded] = backends('embedded')
  const home = await embedded!.home(t)
  let server = await start(t, home)
  await grpcClient(t, server).publish({ events: orders(100) })
  await drained(server)
  await server.stop()
  truncateSync(
    join(home.dataDir, 'log.db'),
    Math.floor((statSync(join(home.dataDir, 'log.db')).size * 0.6) / 4096) * 4096,
  )
  const repair = await runCommand(['doctor', '--repair'], home)
  assert.match(repair.stdout, /epoch 2 begins/)
  server = await start(t, home)
  assert.deepEqual(warningsOf(server), [])
  await grpcClient(t, server).publish({ events: orders(100) })
  await drained(server)
  await server.stop()
  server = await start(t, home)
  assert.deepEqual(warningsOf(server), [])
})
