// PostgreSQL failures that no event caused: how the store handles each of them.

import assert from 'node:assert/strict'
import { before, test } from 'node:test'
import { Client } from 'pg'
import { EventIdGenerator } from '../../src/event/event.ts'
import { counts, entriesOf } from '../conformance/landing-entries.ts'
import { cleanup } from '../support/cleanup.ts'
import { eventually } from '../support/eventually.ts'
import { startFaultProxy } from '../support/fault-proxy.ts'
import type { Postgres } from '../support/postgres-server.ts'
import { listenToStatements, openPostgres } from '../support/postgres-store.ts'
import { sharedPostgres } from '../support/shared-services.ts'

let postgres: Postgres
before(async () => {
  postgres = await sharedPostgres()
})

const ids = new EventIdGenerator()
const events = (count: number, type = 'a') => Array.from({ length: count }, () => ({ id: ids.next(), type }))

const countRows = async (url: string) =>
  (await postgres.query('SELECT count(*)::int AS rows FROM events', [], url))[0]?.rows

/** Makes the table raise an error for every event of the type. */
async function raise(url: string, type: string, sqlState: string): Promise<void> {
  const statement = `CREATE FUNCTION raise_it() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN RAISE EXCEPTION 'no' USING ERRCODE = '${sqlState}'; END $$;
    CREATE TRIGGER raise_it BEFORE INSERT ON events FOR EACH ROW WHEN (NEW.type = '${type}') EXECUTE FUNCTION raise_it()`
  await postgres.query(statement, [], url)
}

test('an unlisted SQLSTATE is retried and reported by name, and makes no dead letter', async (t) => {
  const url = await postgres.createDatabase()
  const heard: string[] = []
  const store = await openPostgres(t, url, { onUnlistedSqlstate: (sqlState) => heard.push(sqlState) })
  await raise(url, 'odd', 'P0001')
  const entries = entriesOf([...events(3), ...events(1, 'odd')], 2)

  for (let tries = 1; tries <= 2; tries++) {
    await assert.rejects(store.landEvents(entries), { code: 'unavailable', message: /P0001/ })
    assert.deepEqual(heard, Array(tries).fill('P0001'))
  }
  assert.equal(await countRows(url), 0)
  await postgres.query('DROP FUNCTION raise_it CASCADE', [], url)
  assert.deepEqual(await store.landEvents(entries), counts(4))
})

test('the streams of a database that is replaced while nothing lands get their numbers from the new one', async (t) => {
  const url = await postgres.createDatabase()
  const store = await openPostgres(t, url)
  const entries = (topic: string) => entriesOf(events(1), 1, { topic })
  assert.deepEqual(await store.landEvents(entries('first')), counts(1))
  await postgres.dropDatabase(url)
  await postgres.query(`CREATE DATABASE ${new URL(url).pathname.slice(1)}`)
  // Opening it creates the tables.
  assert.deepEqual(await (await openPostgres(t, url)).landEvents(entries('second')), counts(1))

  await eventually(async () => assert.deepEqual(await store.landEvents(entries('first')), counts(1)))

  const named = 'SELECT events.topic, streams.topic AS stream FROM events JOIN streams USING (stream) ORDER BY 1'
  assert.deepEqual(
    await postgres.query(named, [], url),
    ['first', 'second'].map((topic) => ({ topic, stream: topic })),
  )
})

test('an SQLSTATE that the operator configured as dead makes a dead letter of only that event', async (t) => {
  const url = await postgres.createDatabase()
  const store = await openPostgres(t, url, { deadSqlstates: ['U0042', 'P0001'] })
  await raise(url, 'odd', 'P0001')

  const answer = await store.landEvents(entriesOf([...events(3), ...events(1, 'odd')], 2))

  assert.deepEqual({ ...answer, poison: [] }, counts(3))
  assert.deepEqual(
    answer.poison.map(({ entry, index, databaseCode }) => [entry, index, databaseCode]),
    [[1, 1, 'P0001']],
  )
})

test('fault P7: a landing that times out on a lock is retried with half as many rows until the lock is released', async (t) => {
  const url = await postgres.createDatabase()
  const store = await openPostgres(t, `${url}?lock_timeout=100`)
  const holder = new Client({ connectionString: url })
  await holder.connect()
  cleanup(t, () => holder.end())
  const entries = entriesOf(events(1000), 100)
  await holder.query('BEGIN; LOCK TABLE events IN ACCESS EXCLUSIVE MODE')

  for (let tries = 1; tries <= 2; tries++) {
    await assert.rejects(store.landEvents(entries), { code: 'unavailable', message: /55P03/ })
  }
  await holder.query('ROLLBACK')
  const statements = listenToStatements(t)
  const copies = () => statements().filter((text) => text === 'COPY events').length

  assert.deepEqual(await store.landEvents(entries), counts(1000))
  assert.equal(copies(), 4)
  assert.deepEqual(await store.landEvents(entriesOf(events(1000), 100)), counts(1000))
  assert.equal(copies(), 4 + 2)
  assert.deepEqual(await store.landEvents(entriesOf(events(1000), 100)), counts(1000))
  assert.equal(copies(), 4 + 2 + 1)
})

test('fault P7: a statement that times out is retried with half as many rows', async (t) => {
  const url = await postgres.createDatabase()
  const store = await openPostgres(t, `${url}?statement_timeout=500`)
  const slow = `CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(0.05); RETURN NEW; END $$;
    CREATE TRIGGER slow BEFORE INSERT ON events FOR EACH ROW EXECUTE FUNCTION slow()`
  await postgres.query(slow, [], url)
  const entries = entriesOf(events(12), 3)

  await assert.rejects(store.landEvents(entries), { code: 'unavailable', message: /57014/ })
  assert.deepEqual(await store.landEvents(entries), counts(12))
})

/** The last step of a landing: the end of a COPY, or the COMMIT of a transaction. */
const endings = {
  COPY: (bytes: Buffer) => bytes.subarray(-5).equals(Buffer.from('c\0\0\0\x04', 'latin1')),
  COMMIT: (bytes: Buffer) => bytes.includes('COMMIT\0'),
}

for (const ending of ['COPY', 'COMMIT'] as const) {
  for (const fault of ['cut', 'silence'] as const) {
    const title =
      fault === 'cut'
        ? `fault P3: the connection is cut before the ${ending} reaches the server: the events are redelivered and make one row each`
        : `fault P3: the answer to a ${ending} is lost: the retry finds the rows and inserts none`
    test(title, async (t) => {
      const url = await postgres.createDatabase()
      const proxy = await startFaultProxy(t, () => `127.0.0.1:${postgres.port}`)
      const store = await openPostgres(t, url.replace(/@[^/]+/, `@${proxy.address}`))
      const made = events(1000)
      // An event that already has its row makes the store land the others in a transaction.
      const before = ending === 'COMMIT' ? 1 : 0
      if (before === 1) await store.landEvents(entriesOf(made.slice(0, 1), 1))
      const entries = entriesOf(made, 100)
      const seen = Promise.withResolvers<void>()
      proxy.interceptUp((bytes) => {
        if (!endings[ending](bytes)) return 'pass'
        seen.resolve()
        return fault
      })

      const lost = assert.rejects(store.landEvents(entries), { code: 'unavailable' })
      await seen.promise
      if (fault === 'silence') await eventually(async () => assert.equal(await countRows(url), 1000))
      proxy.cut()
      proxy.heal()
      await lost
      assert.equal(await countRows(url), fault === 'cut' ? before : 1000)

      assert.deepEqual(
        await store.landEvents(entries),
        fault === 'cut' ? counts(1000 - before, before) : counts(0, 1000),
      )
      assert.equal(await countRows(url), 1000)
    })
  }
}
