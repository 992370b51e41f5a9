import assert from 'node:assert/strict'
import { Readable } from 'node:stream'
import { after, before, test } from 'node:test'
import { cleanup } from '../support/cleanup.ts'
import { eventually } from '../support/eventually.ts'
import { startInProcess } from '../support/in-process-server.ts'
import { PostgresServer } from '../support/postgres-server.ts'
import { clientOf } from '../support/publish.ts'
import { runCommand } from '../support/run-command.ts'
import { startServer } from '../support/server-process.ts'
import { drained } from '../support/tally.ts'
import { tempDirectory } from '../support/temp-directory.ts'

let postgres: PostgresServer
before(async () => {
  postgres = await PostgresServer.create()
})
after(() => postgres.destroy())

const refuseZero = "ALTER TABLE events ADD CONSTRAINT positive CHECK (data->>'n' <> '0')"

test('events land in PostgreSQL, each as one row, while the server and PostgreSQL are killed', async (t) => {
  const url = await postgres.createDatabase()
  const count = 20_000
  const server = await startServer(t, { env: { MILLRACE_POSTGRES_URL: url } })
  const publisher = clientOf(t, server).publisher({ overflow: 'wait' })
  for (let number = 1; number <= count; number++) {
    if (!publisher.add({ type: 'counted', data: { number } })) await publisher.ready()
    if (number === count / 4) await postgres.stop('SIGQUIT')
    if (number === count / 2) await postgres.start()
  }
  const totals = await publisher.close()
  assert.deepEqual([totals.accepted, totals.dropped, totals.rejected], [count, 0, 0])
  await server.kill()
  await server.start()

  const [line] = await drained(server, 30_000)
  assert.deepEqual([line?.accepted, line?.landed, line?.dead, line?.balanced], [count, count, 0, true])
  const statement = `SELECT count(*)::int AS rows, sum((data->>'number')::int)::int AS sum FROM events`
  assert.deepEqual(await postgres.query(statement, [], url), [{ rows: count, sum: (count * (count + 1)) / 2 }])
  const page = await (await fetch(`http://${server.http}/v1/events?type=counted&limit=3`)).json()
  assert.equal((page as { events: unknown[] }).events.length, 3)
})

test('an event that PostgreSQL rejects becomes a dead letter, and the others land', async (t) => {
  const url = await postgres.createDatabase()
  const server = await startInProcess(t, { env: { MILLRACE_POSTGRES_URL: url } })
  await postgres.query(refuseZero, [], url)
  const client = clientOf(t, server)
  const publisher = client.publisher()
  for (let number = 0; number < 1000; number++) {
    const isPoison = number % 400 === 7
    publisher.add({ type: 'n', data: Buffer.from(isPoison ? '{"n": 0}' : '{"n": 1}') })
  }
  assert.equal((await publisher.close()).accepted, 1000)
  const [line] = await drained(server, 30_000)
  assert.deepEqual([line?.landed, line?.dead, line?.balanced], [997, 3, true])
  assert.deepEqual(await postgres.query('SELECT count(*)::int AS rows FROM events', [], url), [{ rows: 997 }])
})

test('a role without the right to create tables gets an error that says so; after millrace migrate it needs only its own rights', async (t) => {
  const url = await postgres.createDatabase()
  const database = new URL(url).pathname.slice(1)
  await postgres.query('CREATE ROLE lander LOGIN')
  const landerUrl = postgres.url(database, 'lander')
  const dataDir = tempDirectory(t)
  const refused = await runCommand(['migrate', '--postgres-url', landerUrl], { dataDir })
  assert.notEqual(refused.code, 0)
  assert.match(refused.stderr, /millrace migrate/)

  const migrated = await runCommand(['migrate', '--postgres-url', url], { dataDir })
  assert.equal(migrated.code, 0, migrated.stderr)
  assert.match(migrated.stdout, /Applied migration 1/)
  assert.match((await runCommand(['migrate', '--postgres-url', url], { dataDir })).stdout, /up to date/)
  await postgres.query('GRANT SELECT, INSERT ON events TO lander', [], url)
  await postgres.query('GRANT SELECT, INSERT, UPDATE ON streams TO lander', [], url)
  await postgres.query('GRANT SELECT ON millrace_migrations TO lander', [], url)
  await postgres.query('GRANT SELECT, INSERT, UPDATE, DELETE ON dead_letters TO lander', [], url)
  await postgres.query('GRANT SELECT, INSERT, UPDATE ON agents TO lander', [], url)
  await postgres.query('GRANT SELECT, INSERT, UPDATE ON files TO lander', [], url)
  await postgres.query('GRANT USAGE ON SEQUENCE streams_stream_seq TO lander', [], url)
  await postgres.query(`REVOKE TEMPORARY ON DATABASE ${database} FROM PUBLIC`)
  await postgres.query(`GRANT TEMPORARY ON DATABASE ${database} TO lander`)

  const server = await startInProcess(t, { env: { MILLRACE_POSTGRES_URL: landerUrl } })
  await postgres.query(refuseZero, [], url)
  await clientOf(t, server).heartbeat({ agentId: 'a' })
  const { fileId } = await clientOf(t, server).upload(Readable.from([Buffer.from('one two')]))
  const publisher = clientOf(t, server).publisher()
  publisher.add({ type: 'a' })
  publisher.add({ type: 'a', data: Buffer.from('{"n": 0}') })
  assert.equal((await publisher.close()).accepted, 2)
  await eventually(async () => {
    const letters = await postgres.query('SELECT count(*)::int AS letters FROM dead_letters', [], url)
    assert.deepEqual(letters, [{ letters: 1 }])
    const rows = await postgres.query('SELECT count(*)::int AS rows FROM events', [], url)
    assert.deepEqual(rows, [{ rows: 2 }])
    const agents = await postgres.query('SELECT agent_id FROM agents', [], url)
    assert.deepEqual(agents, [{ agent_id: 'a' }])
    const files = await postgres.query(`SELECT file_id, analysis ->> 'words' AS words FROM files`, [], url)
    assert.deepEqual(files, [{ file_id: fileId, words: '2' }])
  })
})

test('the errors for an unreachable server and a wrong name say so', async (t) => {
  const dataDir = tempDirectory(t)
  const nowhere = await runCommand(['migrate', '--postgres-url', 'postgres://postgres@127.0.0.1:1/x'], { dataDir })
  assert.notEqual(nowhere.code, 0)
  assert.match(nowhere.stderr, /MILLRACE_POSTGRES_URL.*ECONNREFUSED/)
  const wrongName = await runCommand(['migrate', '--postgres-url', postgres.url('nobody')], { dataDir })
  assert.notEqual(wrongName.code, 0)
  assert.match(wrongName.stderr, /3D000.*nobody/)
})

test('a server that starts while PostgreSQL is unreachable accepts events and reports it; they land when it is back', async (t) => {
  const own = await PostgresServer.create()
  cleanup(t, () => own.destroy())
  const url = await own.createDatabase()
  await own.stop()
  const server = await startInProcess(t, { env: { MILLRACE_POSTGRES_URL: url } })
  const client = clientOf(t, server)
  assert.equal((await client.publishEvents([{ type: 'early' }])).accepted, 1)
  await eventually(async () => {
    const { store, topics } = await client.status()
    assert.equal(store.up, false)
    assert.match(topics[0]?.groups[0]?.state.reason ?? '', /^postgres is unreachable: ECONNREFUSED/)
  })
  await assert.rejects(client.administration.listDeadLetters({ limit: 1 }), { code: 'unavailable' })
  assert.match(server.stderr, /postgres is unreachable.*: events are accepted now and land once the database answers/)

  await own.start()
  const [line] = await drained(server, 40_000)
  assert.partialDeepStrictEqual(line, { accepted: 1, landed: 1, balanced: true })
  assert.deepEqual(await own.query('SELECT count(*)::int AS rows FROM events', [], url), [{ rows: 1 }])
  await eventually(async () => assert.equal((await client.status()).store.up, true))
  await eventually(() => assert.match(server.stderr, /fsync is off/))
})
