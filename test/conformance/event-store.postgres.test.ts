// PostgreSQL as the store: the suite of every store, and guarantees of the PostgreSQL driver only.

import assert from 'node:assert/strict'
import { before, test } from 'node:test'
import { Client } from 'pg'
import { openStore } from '../../src/store/open-store.ts'
import { cleanup } from '../support/cleanup.ts'
import { within } from '../support/eventually.ts'
import { type Postgres, PostgresServer } from '../support/postgres-server.ts'
import { sharedPostgres } from '../support/shared-services.ts'
import { eventStoreSuite } from './event-store.suite.ts'
import { counts, entriesOf } from './landing-entries.ts'
import { postgresHarness } from './postgres-harness.ts'

let server: Postgres
before(async () => {
  server = await sharedPostgres()
})

eventStoreSuite(postgresHarness('postgres', { server: () => server }))

test('observe returns the figures of pg_stat_statements about landing where it is installed, and null where it is not', async (t) => {
  const counting = await PostgresServer.create({ settings: ['shared_preload_libraries=pg_stat_statements'] })
  cleanup(t, () => counting.destroy())
  const postgresUrl = await counting.createDatabase()
  const store = await openStore({ dataDir: '', diskReserveBytes: 0, postgresUrl })
  cleanup(t, () => store.close())
  const entries = entriesOf(
    Array.from({ length: 30 }, (_unused, number) => ({ id: `e${number}`, type: 'a' })),
    10,
  )

  assert.equal((await store.observe()).statements, null)
  await counting.query('CREATE SCHEMA "odd Name"', [], postgresUrl)
  await counting.query('CREATE EXTENSION pg_stat_statements SCHEMA "odd Name"', [], postgresUrl)
  assert.equal((await store.observe()).statements, null)
  for (const entry of entries) assert.deepEqual(await store.landEvents([entry]), counts(10))
  const { statements } = await store.observe()

  assert.deepEqual([statements?.calls, statements?.rows], [3, 30])
  assert.ok(statements!.meanSeconds > 0 && statements!.meanSeconds < 1, `${statements!.meanSeconds} s`)
})

test('observe rejects soon when another session has locked a table', async (t) => {
  const postgresUrl = await server.createDatabase()
  const store = await openStore({ dataDir: '', diskReserveBytes: 0, postgresUrl })
  cleanup(t, () => store.close())
  const locker = new Client({ connectionString: postgresUrl })
  await locker.connect()
  cleanup(t, () => locker.end())
  await locker.query('BEGIN; LOCK TABLE events IN ACCESS EXCLUSIVE MODE')

  await assert.rejects(within(2000, 'the refusal', store.observe()), { code: 'unavailable' })
  await locker.query('ROLLBACK')
  assert.deepEqual((await store.observe()).recent, { events: 0, types: [] })
})
