// Rows that PostgreSQL rejects or already has.

import assert from 'node:assert/strict'
import { before, mock, test } from 'node:test'
import { Client } from 'pg'
import { EventIdGenerator } from '../../src/event/event.ts'
import { counts, entriesOf, textOf } from '../conformance/landing-entries.ts'
import { cleanup } from '../support/cleanup.ts'
import { eventually } from '../support/eventually.ts'
import type { Postgres } from '../support/postgres-server.ts'
import { listenToStatements, openPostgres } from '../support/postgres-store.ts'
import { sharedPostgres } from '../support/shared-services.ts'

let postgres: Postgres
before(async () => {
  postgres = await sharedPostgres()
})

const ids = new EventIdGenerator()

const countRows = async (url: string) =>
  (await postgres.query('SELECT count(*)::int AS rows FROM events', [], url))[0]?.rows

test('fault P1: three kinds of poison among 1,000 events cost at most 61 attempts, and 997 rows land', async (t) => {
  const url = await postgres.createDatabase()
  const store = await openPostgres(t, url)
  const poisonAt: Readonly<Record<number, string>> = {
    0: '"\\u0000"',
    500: `${'['.repeat(20_000)}${']'.repeat(20_000)}`,
    999: '{"n": 1e400000}',
  }
  const events = Array.from({ length: 1000 }, (_, index) => ({
    id: ids.next(),
    type: 'n',
    data: Buffer.from(poisonAt[index] ?? '{"n": 1}'),
  }))
  const statements = listenToStatements(t)

  const answer = await store.landEvents(entriesOf(events, 100))

  assert.deepEqual({ ...answer, poison: [] }, counts(997))
  assert.deepEqual(
    answer.poison.map(({ entry, index, databaseCode }) => [entry * 100 + index, databaseCode]),
    [
      [0, '22P05'],
      [500, '54001'],
      [999, '22003'],
    ],
  )
  const tries = statements().filter((text) => text.startsWith('COPY'))
  assert.ok(tries.length > 3 && tries.length <= 61, `${tries.length} tries`)
  assert.equal(await countRows(url), 997)
})

test('redelivered events cost one query and one COPY of the others', async (t) => {
  const url = await postgres.createDatabase()
  const store = await openPostgres(t, url)
  const events = Array.from({ length: 3000 }, () => ({ id: ids.next(), type: 'a' }))
  await store.landEvents(entriesOf(events.slice(0, 1010), 100))
  await store.landEvents(entriesOf(events.slice(0, 10), 100))
  const statements = listenToStatements(t)

  assert.deepEqual(await store.landEvents(entriesOf(events.slice(1000, 2000), 100)), counts(990, 10))
  assert.deepEqual(await store.landEvents(entriesOf(events.slice(2000, 2500), 100)), counts(500))
  assert.deepEqual(await store.landEvents(entriesOf(events.slice(2500), 100)), counts(500))

  assert.deepEqual(
    statements().filter((text) => text.startsWith('COPY')),
    ['COPY events', 'COPY pg_temp.millrace_staging', 'COPY events', 'COPY events'],
  )
  assert.equal(await countRows(url), 3000)
})

test('calls with the same events in opposite orders wait for each other and do not deadlock', async (t) => {
  const url = await postgres.createDatabase()
  const stores = [await openPostgres(t, url), await openPostgres(t, url)]
  for (let round = 1; round <= 4; round++) {
    const events = Array.from({ length: 2000 }, () => ({ id: ids.next(), type: 'a' }))
    const answers = await Promise.all([
      stores[0]!.landEvents(entriesOf(events, 50)),
      stores[1]!.landEvents(entriesOf(events.toReversed(), 50)),
    ])
    assert.equal(answers[0].landed + answers[1].landed, 2000)
    assert.equal(answers[0].duplicates + answers[1].duplicates, 2000)
    assert.equal(await countRows(url), round * 2000)
  }
  const [statistics] = await postgres.query(
    'SELECT deadlocks::int FROM pg_stat_database WHERE datname = current_database()',
    [],
    url,
  )
  assert.equal(statistics?.deadlocks, 0)
})

test("an event that breaks a unique index of the table's owner is poison, not a duplicate", async (t) => {
  const url = await postgres.createDatabase()
  const store = await openPostgres(t, url)
  await postgres.query('CREATE UNIQUE INDEX one_subject ON events (subject)', [], url)
  const event = (subject: string) => ({ id: ids.next(), type: 'a', subject })
  await store.landEvents(entriesOf([event('taken')], 1))

  const answer = await store.landEvents(entriesOf([event('a'), event('taken'), event('b')], 2))

  assert.deepEqual({ ...answer, poison: [] }, counts(2))
  assert.deepEqual(
    answer.poison.map(({ entry, index, databaseCode }) => [entry, index, databaseCode]),
    [[0, 1, '23505']],
  )
})

/** A trigger on `events` that runs before each row is inserted. */
const beforeInsert = (
  body: string,
) => `CREATE FUNCTION change() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN ${body} END $$;
  CREATE TRIGGER change BEFORE INSERT ON events FOR EACH ROW EXECUTE FUNCTION change()`

test('a row that a trigger skips is tried once more alone, and lands if the trigger keeps it then', async (t) => {
  const url = await postgres.createDatabase()
  const store = await openPostgres(t, url)
  await postgres.query('CREATE SEQUENCE calls', [], url)
  await postgres.query(beforeInsert("IF nextval('calls') <= 30 THEN RETURN NULL; END IF; RETURN NEW;"), [], url)
  const events = Array.from({ length: 100 }, () => ({ id: ids.next(), type: 'a' }))

  assert.deepEqual(await store.landEvents(entriesOf(events, 10)), counts(100))
  assert.equal(await countRows(url), 100)
})

test('a trigger that skips rows that exist makes duplicates of them, compared with the stored rows', async (t) => {
  const url = await postgres.createDatabase()
  const store = await openPostgres(t, url)
  const exists = 'IF EXISTS (SELECT FROM events WHERE event_id = NEW.event_id) THEN RETURN NULL; END IF; RETURN NEW;'
  await postgres.query(beforeInsert(exists), [], url)
  const events = Array.from({ length: 100 }, () => ({ id: ids.next(), type: 'a' }))
  await store.landEvents(entriesOf(events.slice(0, 40), 10))
  const changed = { ...events[7]!, type: 'changed' }
  const foreign = { ...events[8]!, source: '/elsewhere' }

  const answer = await store.landEvents(entriesOf([...events.slice(10), changed, foreign], 10))

  assert.deepEqual(answer, counts(60 + 1, 30 + 1, [{ entry: 9, index: 0 }]))
  assert.equal(await countRows(url), 101)
})

/** How many pages of a table the work reads, of how many. */
async function pagesRead(url: string, table: string, work: () => Promise<void>) {
  const pages = async () => {
    const statement = `SELECT (heap_blks_read + heap_blks_hit)::int AS read, (pg_relation_size(relid) / 8192)::int AS all
      FROM pg_statio_user_tables WHERE relname = $1`
    return (await postgres.query(statement, [table], url))[0] as { read: number; all: number }
  }
  const before = await pages()
  await work()
  const after = await eventually(async () => {
    const now = await pages()
    assert.ok(now.read > before.read)
    return now
  })
  return { read: after.read - before.read, all: after.all }
}

test('the newest page of a table reads few of its pages, however old the rows are', async (t) => {
  const url = await postgres.createDatabase()
  await (await openPostgres(t, url)).close()
  const insert = `INSERT INTO events SELECT gen_random_uuid(), NULL, '/', 'a', NULL, at, at, 'events', 2, NULL,
    jsonb_build_object('n', n, 'pad', repeat('x', 200)), NULL, 'application/json', NULL, 1, n
    FROM (SELECT n, now() - interval '30 days' + n * interval '1 microsecond' AS at FROM generate_series(1, 40000) AS n) AS rows`
  await postgres.query(insert, [], url)
  await postgres.query("SELECT brin_summarize_new_values('events_received_at')", [], url)

  const { read, all } = await pagesRead(url, 'events', async () => {
    const store = await openPostgres(t, url)
    const page = await store.listEvents({ limit: 100 })
    // Sessions report their read statistics when they end.
    await store.close()
    assert.deepEqual(
      page.events.map((event) => JSON.parse(textOf(event) ?? '').n).slice(0, 3),
      [40_000, 39_999, 39_998],
    )
  })

  assert.ok(read < all / 5, `${read} of ${all} pages`)
})

test('a page of dead letters reads few pages of their table, also before its first ANALYZE', async (t) => {
  const url = await postgres.createDatabase()
  await (await openPostgres(t, url)).close()
  const insert = `INSERT INTO dead_letters SELECT gen_random_uuid(), gen_random_uuid(), 'events', 'landing', 'a', '/', 'no', 'no',
    1, at, at, convert_to(repeat('x', 300), 'UTF8'), '[]', NULL, 0
    FROM (SELECT now() - n * interval '1 second' AS at FROM generate_series(1, 10000) AS n) AS rows`
  await postgres.query(insert, [], url)

  const { read, all } = await pagesRead(url, 'dead_letters', async () => {
    const store = await openPostgres(t, url)
    const query = { isRedriven: false, untilMicros: Date.now() * 1000, limit: 100 }
    for (const isOldestFirst of [false, true]) {
      assert.equal((await store.listDeadLetters({ ...query, isOldestFirst })).deadLetters.length, 100)
    }
    await store.close()
  })

  assert.ok(read < all / 5, `${read} of ${all} pages`)
})

test('a page makes the text of few rows behind its end, however small they are in the table', async (t) => {
  const url = await postgres.createDatabase()
  const store = await openPostgres(t, url)
  const data = Buffer.from(`[${Array(2600).fill('1e399').join()}]`)
  await store.landEvents(
    entriesOf(
      Array.from({ length: 40 }, () => ({ id: ids.next(), type: 'a', data })),
      1,
    ),
  )
  const query = mock.method(Client.prototype, 'query')
  cleanup(t, () => query.mock.restore())

  const { events } = await store.listEvents({ limit: 100 })

  assert.equal(events.length, 2)
  const reads = query.mock.calls.filter(({ arguments: [text] }) => `${text}`.includes('data::text'))
  const asked = reads.map((call) => (call.arguments as unknown as [string, string[][]])[1][0]!.length)
  assert.ok(asked.reduce((sum, keys) => sum + keys, 0) <= 8, `${asked} rows`)
})

test('fault P16: JSON data keeps every digit in jsonb, and other data keeps every byte', async (t) => {
  const url = await postgres.createDatabase()
  const store = await openPostgres(t, url)
  const json = {
    '12345678901234567890': '12345678901234567890',
    '-0.10000000000000000000000001': '-0.10000000000000000000000001',
    '1e-7': '0.0000001',
    '{"a": 1, "a": 2}': '{"a": 2}',
    '"😀\\ud83d\\ude00"': '"😀😀"',
    '[ ]': '[]',
  }
  const bytes = [Buffer.from([0xff, 0xfe, 0, 0x80]), Buffer.from('12345678901234567890'), Buffer.from('😀')]
  const made = [
    ...Object.keys(json).map((text) => ({ id: ids.next(), type: 'json', data: Buffer.from(text) })),
    ...bytes.map((data) => ({ id: ids.next(), type: 'bytes', data, dataContentType: 'application/octet-stream' })),
    { id: ids.next(), type: 'empty', data: Buffer.alloc(0), dataContentType: 'application/octet-stream' },
  ]

  assert.deepEqual(await store.landEvents(entriesOf(made, 4)), counts(made.length))

  const rows = async (type: string) =>
    postgres.query('SELECT data::text AS data, data_bytes FROM events WHERE type = $1 ORDER BY log_offset', [type], url)
  assert.deepEqual(
    (await rows('json')).map(({ data, data_bytes }) => [data, data_bytes]),
    Object.values(json).map((text) => [text, null]),
  )
  assert.deepEqual(
    (await rows('bytes')).map(({ data, data_bytes }) => [data, data_bytes]),
    bytes.map((data) => [null, data]),
  )
  assert.deepEqual(await rows('empty'), [{ data: null, data_bytes: null }])
})
