// PostgreSQL as the store: the suite of every store, and guarantees of the PostgreSQL driver only.

import assert from 'node:assert/strict'
import { before, test } from 'node:test'
import { Client } from 'pg'
import { openStore } from '../../src/store/open-store.ts'
import { cleanup } from '../support/cleanup.ts'
import { eventually, within } from '../support/eventually.ts'
import { type Postgres, PostgresServer } from '../support/postgres-server.ts'
import { sharedPostgres } from '../support/shared-services.ts'
import { eventStoreSuite } from './event-store.suite.ts'
import { counts, entriesOf, listAll, textOf } from './landing-entries.ts'
import { postgresHarness } from './postgres-harness.ts'

let server: Postgres
before(async () => {
  server = await sharedPostgres()
})

eventStoreSuite(postgresHarness('postgres', { server: () => server }))

test('data that explodes as text, and data whose text fails, is left out; the page goes on', async (t) => {
  const postgresUrl = await server.createDatabase()
  const store = await openStore({ dataDir: '', diskReserveBytes: 0, postgresUrl })
  cleanup(t, () => store.close())
  const texts = ['[1]', `[${'1e131000,'.repeat(4100)}1e-16000]`, '{"fails":1}', `[${'1e131000,'.repeat(20)}1]`, '[2]']
  const made = texts.map((text, index) => ({
    id: `0193000${index}-0000-7000-8000-000000000000`,
    type: 'a',
    data: Buffer.from(text),
  }))
  assert.deepEqual(await store.landEvents(entriesOf(made, 1)), counts(5))
  await server.query(
    `CREATE FUNCTION text_of(jsonb) RETURNS text LANGUAGE plpgsql AS $$ BEGIN
      IF $1 ? 'fails' THEN RAISE 'string buffer exceeds maximum allowed length' USING ERRCODE = '54000'; END IF;
      RETURN format('%s', $1);
    END $$`,
    [],
    postgresUrl,
  )
  await server.query('CREATE CAST (jsonb AS text) WITH FUNCTION text_of(jsonb)', [], postgresUrl)

  const listed = await listAll(store, { limit: 4 })

  assert.deepEqual(
    listed.map((event) => event.dataOmitted ?? textOf(event)!.replace(/0{400,}/g, '0…')),
    [
      '[2]',
      `[${'10…, '.repeat(20)}1]`,
      'the database cannot return the data and the attributes: 54000: string buffer exceeds maximum allowed length',
      'the data has 4101 numbers of more than 400 digits written out: read it from the database',
      '[1]',
    ],
  )
  for (const { id } of made) {
    const [found] = await store.findEvents([id])
    assert.deepEqual(
      found?.event,
      listed.find((event) => event.id === id),
    )
  }
})

test('an answer of more than 64 MiB ends its connection and its query; its row is listed without data and attributes', async (t) => {
  const postgresUrl = await server.createDatabase()
  const store = await openStore({ dataDir: '', diskReserveBytes: 0, postgresUrl })
  cleanup(t, () => store.close())
  const made = [0, 1, 2].map((number) => ({ id: `0193000${number}-0000-7000-8000-000000000000`, type: 'a' }))
  await store.landEvents(entriesOf(made, 1))
  const huge = `UPDATE events SET attributes = jsonb_build_object('a', repeat('x', 68000000)) WHERE event_id = '${made[1]!.id}'`
  await server.query(huge, [], postgresUrl)

  const listed = await listAll(store, { limit: 3 })

  assert.deepEqual(
    listed.map(({ id, dataOmitted }) => [id, dataOmitted !== null]),
    [2, 1, 0].map((number) => [made[number]!.id, number === 1]),
  )
  assert.match(
    listed[1]!.dataOmitted!,
    /^the database cannot return the data and the attributes: an answer .* has 68\d+ bytes/,
  )
  assert.deepEqual(
    (await store.findEvents([made[1]!.id])).map(({ event }) => event),
    [listed[1]],
  )
  const sessions = `SELECT count(*)::int AS busy FROM pg_stat_activity
    WHERE datname = current_database() AND application_name = 'millrace' AND state = 'active'`
  await eventually(async () => assert.deepEqual(await server.query(sessions, [], postgresUrl), [{ busy: 0 }]))
})

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
