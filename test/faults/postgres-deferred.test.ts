// Constraints that the table's owner has deferred: PostgreSQL checks them at the COMMIT, not with the row.

import assert from 'node:assert/strict'
import { before, test } from 'node:test'
import type { EventParts } from '../../src/event/record-batch.ts'
import type { LandedCounts } from '../../src/store/event-store.ts'
import { openStore } from '../../src/store/open-store.ts'
import { counts, entriesOf } from '../conformance/landing-entries.ts'
import { eventually } from '../support/eventually.ts'
import { startInProcess } from '../support/in-process-server.ts'
import type { Postgres } from '../support/postgres-server.ts'
import { listenToStatements, openPostgres } from '../support/postgres-store.ts'
import { clientOf } from '../support/publish.ts'
import { sharedPostgres } from '../support/shared-services.ts'
import { drained } from '../support/tally.ts'

let postgres: Postgres
before(async () => {
  postgres = await sharedPostgres()
})

/** The subject of an event must be the id of another one, at the COMMIT. */
const mustPointToAnEvent = `ALTER TABLE events ADD UNIQUE (id),
  ADD FOREIGN KEY (subject) REFERENCES events (id) DEFERRABLE INITIALLY DEFERRED`

/** The data of an event must be positive, at the COMMIT. */
const mustBePositive = (sqlState: string) => `CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$
  BEGIN RAISE EXCEPTION 'not positive' USING ERRCODE = '${sqlState}'; END $$;
  CREATE CONSTRAINT TRIGGER positive AFTER INSERT ON events DEFERRABLE INITIALLY DEFERRED
  FOR EACH ROW WHEN ((NEW.data->>'n')::int <= 0) EXECUTE FUNCTION refuse()`

async function databaseWith(statement: string): Promise<string> {
  const url = await postgres.createDatabase()
  // Opening a store creates the tables.
  await (await openStore({ dataDir: '', diskReserveBytes: 0, postgresUrl: url })).close()
  await postgres.query(statement, [], url)
  return url
}

const event = (id: string, subject = ''): EventParts & { id: string } => ({ id, type: 'a', subject })
const plain = (count: number, from = 0) => Array.from({ length: count }, (_, number) => event(`plain ${from + number}`))

const idsOf = async (url: string, condition: string) =>
  (await postgres.query(`SELECT id FROM events WHERE ${condition} ORDER BY id`, [], url)).map(({ id }) => id)

/** The ids of the poison events, with their SQLSTATEs. */
function poisonOf({ poison }: LandedCounts, events: readonly { id: string }[], size: number): string[] {
  return poison.map(({ entry, index, databaseCode }) => `${events[entry * size + index]!.id}: ${databaseCode}`).sort()
}

test('events that need each other land with one COPY, however many others are in the batch', async (t) => {
  const url = await databaseWith(mustPointToAnEvent)
  const store = await openPostgres(t, url)
  const statements = listenToStatements(t)

  const events = [...plain(998), event('left', 'right'), event('right', 'left')]
  assert.deepEqual(await store.landEvents(entriesOf(events, 100)), counts(1000))

  assert.deepEqual(
    statements().filter((text) => /^(COPY|BEGIN|SET)/.test(text)),
    ['COPY events'],
  )
})

test('one of 1,000 events fails at the COMMIT: it alone is poison, also beside a pair that needs each other', async (t) => {
  const url = await databaseWith(mustPointToAnEvent)
  const store = await openPostgres(t, url)
  const lone = [...plain(999), event('lost', 'nowhere')]
  const statements = listenToStatements(t)
  const tries = () => statements().filter((text) => text === 'COPY events').length

  const first = await store.landEvents(entriesOf(lone, 100))
  assert.deepEqual({ ...first, poison: [] }, counts(999))
  assert.deepEqual(poisonOf(first, lone, 100), ['lost: 23503'])
  assert.ok(tries() <= 1 + 2 + 2 * 10, `${tries()} tries`)

  const pair = [event('left', 'right'), event('right', 'left')]
  const mixed = [...plain(997, 1000), pair[0]!, event('astray', 'nowhere'), pair[1]!]
  const second = await store.landEvents(entriesOf(mixed, 100))
  assert.deepEqual({ ...second, poison: [] }, counts(999))
  assert.deepEqual(poisonOf(second, mixed, 100), ['astray: 23503'])

  assert.deepEqual(await idsOf(url, 'subject IS NOT NULL'), ['left', 'right'])
  assert.equal((await idsOf(url, 'true')).length, 999 + 999)
})

test('a ring and a chain of events land beside several poison events and resent ones', async (t) => {
  const url = await databaseWith(mustPointToAnEvent)
  const store = await openPostgres(t, url)
  await store.landEvents(entriesOf(plain(5), 5))
  const ring = Array.from({ length: 7 }, (_, number) => event(`ring ${number}`, `ring ${(number + 1) % 7}`))
  const chain = Array.from({ length: 5 }, (_, number) => event(`chain ${number}`, `chain ${Math.max(0, number - 1)}`))
  const lost = Array.from({ length: 4 }, (_, number) => event(`lost ${number}`, 'nowhere'))
  // What needs a lost event is lost with it.
  const follower = event('follower', 'lost 2')
  const batch = [...plain(60), ...ring, ...lost, ...chain, follower, ring[3]!, lost[0]!]

  const answer = await store.landEvents(entriesOf(batch, 9))

  assert.deepEqual({ ...answer, poison: [] }, counts(55 + 7 + 5, 5 + 1))
  assert.deepEqual(poisonOf(answer, batch, 9), [...lost, follower, lost[0]!].map(({ id }) => `${id}: 23503`).sort())
  assert.equal((await idsOf(url, 'true')).length, 72)
})

test('events that need each other land beside rows that are refused at once, before and behind them', async (t) => {
  const url = await databaseWith(`${mustPointToAnEvent}, ADD CHECK ((data->>'n')::int > 0);
    CREATE FUNCTION skip() RETURNS trigger LANGUAGE plpgsql AS $$
      BEGIN RETURN CASE WHEN NEW.type <> 'skip' THEN NEW END; END $$;
    CREATE TRIGGER skip BEFORE INSERT ON events FOR EACH ROW EXECUTE FUNCTION skip()`)
  const store = await openPostgres(t, url)
  const bad = (count: number, from: number) =>
    plain(count, from).map((parts) => ({ ...parts, data: Buffer.from('{"n": 0}') }))
  for (const round of [1, 2]) {
    // The order of the rows is that of their keys, so each round has another one.
    const pair = [event(`left ${round}`, `right ${round}`), event(`right ${round}`, `left ${round}`)]
    const skipped = { ...event(`skipped ${round}`), type: 'skip' }
    const batch = [
      pair[0]!,
      ...bad(20, round * 100),
      pair[1]!,
      skipped,
      event(`good ${round}`),
      event('lost', 'nowhere'),
    ]

    const answer = await store.landEvents(entriesOf(batch, 100))

    const refused = bad(20, round * 100).map(({ id }) => `${id}: 23514`)
    assert.deepEqual(poisonOf(answer, batch, 100), [...refused, 'lost: 23503', `skipped ${round}: 02000`].sort())
    assert.deepEqual({ ...answer, poison: [] }, counts(3))
  }
})

test('of two events that break a deferred unique index the first lands', async (t) => {
  const url = await databaseWith('ALTER TABLE events ADD UNIQUE (subject) DEFERRABLE INITIALLY DEFERRED')
  const store = await openPostgres(t, url)
  const events = [...plain(20), event('a', 'same'), event('b', 'same')]

  const answer = await store.landEvents(entriesOf(events, 100))

  assert.deepEqual({ ...answer, poison: [] }, counts(21))
  assert.match(poisonOf(answer, events, 100).join(), /^[ab]: 23505$/)
})

test('each event that a deferred trigger refuses is a dead letter, and a COMMIT that fails for another reason is retried', async (t) => {
  const url = await databaseWith(mustBePositive('23514'))
  const server = await startInProcess(t, { env: { MILLRACE_POSTGRES_URL: url } })
  const client = clientOf(t, server)
  const publisher = client.publisher()
  for (let number = 0; number < 1000; number++) publisher.add({ type: 'n', data: { n: number % 400 === 7 ? 0 : 1 } })
  assert.equal((await publisher.close()).accepted, 1000)
  const [line] = await drained(server, 30_000)
  assert.deepEqual([line?.landed, line?.dead, line?.balanced], [997, 3, true])
  await eventually(async () => {
    const letters = await postgres.query('SELECT code, message FROM dead_letters', [], url)
    assert.deepEqual(letters, Array(3).fill({ code: 'refused_by_store', message: '23514: not positive' }))
  })

  const other = await databaseWith(mustBePositive('40001'))
  const store = await openPostgres(t, other)
  const data = Buffer.from('{"n": 0}')
  for (let tries = 1; tries <= 2; tries++) {
    await assert.rejects(store.landEvents(entriesOf([{ ...event('x'), data }], 1)), {
      code: 'unavailable',
      message: /40001/,
    })
  }
})
