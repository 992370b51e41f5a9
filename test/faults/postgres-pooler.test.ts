// PgBouncer in transaction mode between Millrace and PostgreSQL: each transaction may get another session.

import assert from 'node:assert/strict'
import { before, type TestContext, test } from 'node:test'
import { Client } from 'pg'
import type { MillraceError } from '../../src/errors.ts'
import { openStore } from '../../src/store/open-store.ts'
import { Connections } from '../../src/store/postgres/connections.ts'
import { counts, entryOf, listAll } from '../conformance/landing-entries.ts'
import { cleanup } from '../support/cleanup.ts'
import { orders } from '../support/events.ts'
import { grpcClient } from '../support/grpc-client.ts'
import { startInProcess } from '../support/in-process-server.ts'
import { PgBouncer, type PgBouncerOptions } from '../support/pgbouncer.ts'
import type { Postgres } from '../support/postgres-server.ts'
import { openPostgres } from '../support/postgres-store.ts'
import { sharedPostgres } from '../support/shared-services.ts'
import { drained } from '../support/tally.ts'

let postgres: Postgres
before(async () => {
  postgres = await sharedPostgres()
})

/** A new database: its URL, and its URL through a new PgBouncer. */
async function pooled(t: TestContext, options?: PgBouncerOptions): Promise<{ direct: string; url: string }> {
  const pooler = await PgBouncer.create(postgres, options)
  cleanup(t, () => pooler.destroy())
  const direct = await postgres.createDatabase()
  return { direct, url: pooler.through(direct) }
}

const isPooler = (text: unknown) => /connection pooler/.test(String(text))

test('events land through PgBouncer with its defaults, and a warning says so once', async (t) => {
  const { direct, url } = await pooled(t)
  const server = await startInProcess(t, { env: { MILLRACE_POSTGRES_URL: url } })
  const grpc = grpcClient(t, server)
  const events = orders(100)
  await grpc.publish({ events })
  await grpc.publish({ events: [...events.slice(50), ...orders(50)] })

  const [line] = await drained(server)
  assert.deepEqual([line?.landed, line?.dead, line?.balanced], [200, 0, true])
  assert.deepEqual(await postgres.query('SELECT count(*)::int AS rows FROM events', [], direct), [{ rows: 150 }])
  assert.equal(server.logLines().filter(({ message }) => isPooler(message)).length, 1)
})

test('calls that learn at the same time how connections must be made all succeed', async (t) => {
  const { direct, url } = await pooled(t)
  for (const asked of [url, `${direct}?sslmode=prefer`, `${url}?sslmode=prefer`]) {
    const connections = new Connections(asked)
    const pool = connections.openPool({ max: 3, timeouts: { statementMs: 10_000, lockMs: 10_000 } })
    cleanup(t, () => pool.end())
    const calls = [1, 2, 3].map((number) => connections.attempt(() => pool.query(`SELECT ${number} AS number`)))
    const answers = (await Promise.all(calls)).map(({ rows: [row] }) => row.number)
    assert.deepEqual([answers, connections.isPooled], [[1, 2, 3], asked.startsWith(url)])
  }
})

const ignoring = ['ignore_startup_parameters = statement_timeout, lock_timeout, idle_in_transaction_session_timeout']
for (const [how, settings] of [
  ['refuses', []],
  ['ignores', ignoring],
] as const) {
  test(`a pooler that ${how} start parameters: timeouts apply to each transaction, and nothing stays in a session`, async (t) => {
    const { direct, url } = await pooled(t, { settings })
    const store = await openPostgres(t, `${url}?lock_timeout=100`)
    const { up, problem, warnings } = await store.describe()
    assert.deepEqual([up, problem, warnings.filter(isPooler).length], [true, null, 1])
    const entry = entryOf([
      { id: '1', type: 'a' },
      { id: '2', type: 'a' },
    ])
    assert.deepEqual(await store.landEvents([entry]), counts(2))
    const holder = new Client({ connectionString: direct })
    await holder.connect()
    cleanup(t, () => holder.end())
    await holder.query('BEGIN; LOCK TABLE events, dead_letters IN ACCESS EXCLUSIVE MODE')

    // One call for each way to run statements: COPY, a transaction of several statements, a single statement.
    const refused = { code: 'unavailable', message: /^postgres waits for a lock: .*55P03: / }
    await assert.rejects(store.landEvents([entryOf([{ id: '3', type: 'a' }])]), refused)
    await assert.rejects(store.listEvents({ limit: 1 }), refused)
    await assert.rejects(store.deleteDeadLetters(['00000000-0000-4000-8000-000000000000']), refused)
    await holder.query('ROLLBACK')

    assert.deepEqual(await store.landEvents([entry]), counts(0, 2))
    assert.equal((await listAll(store)).length, 2)
    const left = "SELECT count(*)::int AS tables FROM pg_class WHERE relname = 'millrace_staging'"
    assert.deepEqual(await postgres.query(left, [], direct), [{ tables: 0 }])
  })
}

test('what no waiting ends is refused at the start: a start parameter of the URL, the statement mode, a wrong user', async (t) => {
  const { url } = await pooled(t)
  const statementMode = await pooled(t, { settings: ['pool_mode = statement'] })
  for (const [wrongUrl, said] of [
    [`${url}?options=-c%20work_mem%3D64MB`, /08P01: .*parameter: options/],
    [statementMode.url, /08P01: transaction blocks not allowed in statement pooling mode/],
    [url.replace('postgres@', 'nobody@'), /08P01: .*authentication failed/],
  ] as const) {
    await assert.rejects(
      openStore({ dataDir: '', diskReserveBytes: 0, postgresUrl: wrongUrl }),
      ({ code, message }: MillraceError) =>
        code === 'failed_precondition' &&
        /MILLRACE_POSTGRES_URL: postgres refuses: /.test(message) &&
        said.test(message),
    )
  }
})
