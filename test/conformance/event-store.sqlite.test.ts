// The embedded store: the suite of every store, and guarantees of the SQLite driver only.

import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import {
  closeSync,
  mkdtempSync,
  openSync,
  readdirSync,
  rmSync,
  statfsSync,
  statSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { type TestContext, test } from 'node:test'
import { MillraceError } from '../../src/errors.ts'
import { EventIdGenerator, uuidFromBytes, uuidToBytes } from '../../src/event/event.ts'
import type { EventParts } from '../../src/event/record-batch.ts'
import type { EventStore } from '../../src/store/event-store.ts'
import { openStore } from '../../src/store/open-store.ts'
import { cleanup } from '../support/cleanup.ts'
import { type EventStoreHarness, type EventTableRow, eventStoreSuite } from './event-store.suite.ts'
import { counts, entriesOf, entryOf, listAll, someMicros, textOf } from './landing-entries.ts'
import { startStoreProcess } from './store-process.ts'

const ids = new EventIdGenerator()
const filler = Buffer.from(JSON.stringify('x'.repeat(300)))

const harness: EventStoreHarness = {
  driver: 'sqlite',
  async create() {
    const dataDir = mkdtempSync(join(tmpdir(), 'millrace-store-'))
    const path = join(dataDir, 'store.db')
    const config = { dataDir, diskReserveBytes: 0 }
    return {
      open: () => openStore(config),
      openInProcess: () => startStoreProcess(config),
      countRows: async () => query(path, 'SELECT count(*) AS count FROM events')[0]!.count as number,
      readRow: async (eventId) => readRow(path, eventId),
      refuseType: async (type) =>
        execute(
          path,
          `CREATE TRIGGER refuse BEFORE INSERT ON events WHEN NEW.type = '${type}'
           BEGIN SELECT RAISE(ABORT, 'refused by the test'); END`,
        ),
      skipType: async (type) =>
        execute(
          path,
          `CREATE TRIGGER skip BEFORE INSERT ON events WHEN NEW.type = '${type}' BEGIN SELECT RAISE(IGNORE); END`,
        ),
      refuseLetters: async () =>
        execute(
          path,
          `CREATE TRIGGER refuse_letter BEFORE INSERT ON dead_letters WHEN NEW.type = 'refused'
           BEGIN SELECT RAISE(ABORT, 'no such letter'); END;
           CREATE TRIGGER skip_letter BEFORE INSERT ON dead_letters WHEN NEW.type = 'skipped'
           BEGIN SELECT RAISE(IGNORE); END`,
        ),
      acceptLetters: async () => execute(path, 'DROP TRIGGER refuse_letter; DROP TRIGGER skip_letter'),
      destroy: async () => rmSync(dataDir, { recursive: true }),
    }
  },
}

eventStoreSuite(harness)

test('store.db can be read with the sqlite3 program while the store runs, before the first row and after it', async (t) => {
  const { path, store } = await openNew(t)
  const sqlite3 = (sql: string) => execFileSync('sqlite3', ['-readonly', path, sql], { encoding: 'utf8' }).trim()

  assert.equal(sqlite3('SELECT count(*) FROM events'), '0')
  const id = ids.next()
  await store.landEvents([entryOf([{ id, type: 'a', data: Buffer.from('{"n": 7}') }])])

  assert.equal(
    sqlite3(
      "SELECT lower(hex(event_id)), type, json_extract(data, '$.n'), datetime(received_at / 1e6, 'unixepoch') FROM events",
    ),
    `${id.replaceAll('-', '')}|a|7|2026-01-01 00:00:00`,
  )
  assert.equal(sqlite3('SELECT * FROM streams'), '1|events|0|normal|1')
  await store.landEvents([entryOf([{ id: ids.next(), type: 'a' }])])
  assert.equal(sqlite3('SELECT count(*) FROM events'), '2')
})

test('JSON is kept byte for byte as it was sent', async (t) => {
  const { store } = await openNew(t)
  const texts = ['  { "b" : 1e-7,\t"a":1E+2 , "b": -0.0}\n', '1e400000', '"\\u00e4\\/"', '[ ]']
  const made = texts.map((text) => ({ id: ids.next(), type: 'a', data: Buffer.from(text) }))

  await store.landEvents([entryOf(made)])

  const stored = new Map((await listAll(store)).map((event) => [event.id, textOf(event)]))
  assert.deepEqual(
    made.map(({ id }) => stored.get(id)),
    texts,
  )
})

test("a row that violates a constraint added by the operator is poison with SQLite's code", async (t) => {
  const { path, store } = await openNew(t)
  execute(path, 'CREATE UNIQUE INDEX one_for_each_key ON events (key)')
  execute(
    path,
    "CREATE TRIGGER pass_over BEFORE INSERT ON events WHEN NEW.type = 'ignored' BEGIN SELECT RAISE(IGNORE); END",
  )
  const event = (type: string, key: string) => ({ id: ids.next(), type, key })

  const answer = await store.landEvents(
    entriesOf([event('a', 'k'), event('a', 'k'), event('ignored', 'l'), event('a', 'm')], 3),
  )

  assert.deepEqual(
    { ...answer, poison: answer.poison.map(({ entry, index, databaseCode }) => [entry, index, databaseCode]) },
    {
      ...counts(2),
      poison: [
        [0, 1, '2067'],
        [0, 2, '19'],
      ],
    },
  )
})

test('a table without the key is refused when the store is opened, and accepted with a unique index', async (t) => {
  const { path, store } = await openNew(t)
  await store.close()
  execute(path, 'CREATE TABLE copied AS SELECT * FROM events; DROP TABLE events; ALTER TABLE copied RENAME TO events')
  execute(path, "CREATE UNIQUE INDEX partly ON events (event_id) WHERE topic = 'events'")
  execute(path, 'CREATE UNIQUE INDEX wider ON events (event_id, topic)')
  const config = { dataDir: dirname(path), diskReserveBytes: 0 }

  await assert.rejects(openStore(config), {
    code: 'failed_precondition',
    message: /events has no primary key event_id/,
  })
  execute(path, 'CREATE UNIQUE INDEX events_key ON events (event_id)')
  const again = await openStore(config)
  cleanup(t, () => again.close())
  const entry = entryOf([{ id: ids.next(), type: 'a' }])
  assert.deepEqual([await again.landEvents([entry]), await again.landEvents([entry])], [counts(1), counts(0, 1)])
})

test('when a trigger rolls back the transaction, the call fails, nothing of it has landed, and the store continues', async (t) => {
  const { path, store } = await openNew(t)
  execute(
    path,
    "CREATE TRIGGER end_all BEFORE INSERT ON events WHEN NEW.type = 'end' BEGIN SELECT RAISE(ROLLBACK, 'no'); END",
  )
  const entries = entriesOf(
    ['a', 'end', 'b'].map((type) => ({ id: ids.next(), type })),
    1,
  )

  await assert.rejects(store.landEvents(entries), { code: 'internal' })
  assert.deepEqual(await listAll(store), [])

  execute(path, 'DROP TRIGGER end_all')
  assert.deepEqual(await store.landEvents(entries), counts(3))
  assert.equal((await listAll(store)).length, 3)
  assert.equal(query(path, 'SELECT count(*) AS count FROM events JOIN streams USING (stream)')[0]?.count, 3)
})

test('files that are truncated, foreign, or missing beside their WAL are refused as corrupt, by name, and left unchanged', async (t) => {
  const makeFile: Record<string, (path: string) => void> = {
    'cut inside a page': (path) => truncateSync(path, statSync(path).size - 100),
    'cut at a page': (path) => truncateSync(path, 8192),
    zeroed: (path) => writeFileSync(path, Buffer.alloc(16_384)),
    text: (path) => writeFileSync(path, 'x'.repeat(16_384)),
    'the database of another program': (path) => {
      rmSync(path)
      execute(path, 'CREATE TABLE events (a)')
    },
    missing: (path) => {
      rmSync(path)
      writeFileSync(`${path}-wal`, 'frames')
    },
  }
  for (const [how, make] of Object.entries(makeFile)) {
    const dataDir = temporaryDataDir(t)
    const path = join(dataDir, 'store.db')
    await (await openStore({ dataDir, diskReserveBytes: 0 })).close()
    make(path)
    const before = statSync(path, { throwIfNoEntry: false })?.size
    await assert.rejects(openStore({ dataDir, diskReserveBytes: 0 }), (error: unknown) => {
      assert.ok(error instanceof MillraceError)
      assert.deepEqual([error.code, error.message.includes(path)], ['corrupt', true], `${how}: ${error.message}`)
      return true
    })
    assert.equal(statSync(path, { throwIfNoEntry: false })?.size, before, how)
  }
})

test('where events have landed before, a missing store.db is corrupt, and no new one is created', async (t) => {
  const dataDir = temporaryDataDir(t)
  await assert.rejects(openStore({ dataDir, diskReserveBytes: 0 }, { mayCreate: false }), { code: 'corrupt' })
  assert.deepEqual(readdirSync(dataDir), [])
})

test('the store fails when a read finds damage', async (t) => {
  const dataDir = temporaryDataDir(t)
  const path = join(dataDir, 'store.db')
  const first = await openStore({ dataDir, diskReserveBytes: 0 })
  await first.landEvents(entriesOf(manyEvents(2000), 500))
  await first.close()
  const file = openSync(path, 'r+')
  for (let at = 200_000; at < 300_000; at += 10_000) writeSync(file, Buffer.alloc(10_000, 'x'), 0, 10_000, at)
  closeSync(file)

  const store = await openStore({ dataDir, diskReserveBytes: 0 })
  cleanup(t, () => store.close())
  await assert.rejects(store.listEvents({ limit: 1000 }), { code: 'corrupt' })

  assert.equal(((await store.failed) as MillraceError).code, 'corrupt')
  await assert.rejects(store.landEvents([entryOf(manyEvents(1))]), { code: 'corrupt' })
  assert.equal((await store.describe()).up, false)
})

test('a store of a newer version, or with a different migration text, is refused and left unchanged', async (t) => {
  const dataDir = temporaryDataDir(t)
  const path = join(dataDir, 'store.db')
  const reopen = () => openStore({ dataDir, diskReserveBytes: 0 })
  await (await reopen()).close()

  execute(path, "INSERT INTO migrations VALUES (7, 'sharding', 'abc', 0)")
  await assert.rejects(reopen(), (error: unknown) => {
    assert.ok(error instanceof MillraceError)
    assert.equal(error.code, 'failed_precondition')
    assert.match(error.message, /store\.db is at schema version 7 \(sharding\).* knows \d+: start the newer version/)
    return true
  })

  execute(path, "DELETE FROM migrations WHERE number = 7; UPDATE migrations SET checksum = 'abc'")
  await assert.rejects(reopen(), {
    code: 'failed_precondition',
    message: /another migration 1: applied is events \(abc\)/,
  })
  assert.deepEqual(query(path, "SELECT number FROM migrations WHERE checksum <> 'abc'"), [])
})

test('landing stops before the second half of the disk reserve is used, and reading continues', async (t) => {
  const dataDir = temporaryDataDir(t)
  const { bavail, bsize } = statfsSync(dataDir)
  const open = (diskReserveBytes: number) => openStore({ dataDir, diskReserveBytes })
  const entry = entryOf(manyEvents(1))

  const full = await open(bavail * bsize * 4)
  await assert.rejects(full.landEvents([entry]), { code: 'disk_full', retryable: true })
  assert.deepEqual(await listAll(full), [])
  await full.close()

  const roomy = await open(bavail * bsize)
  assert.deepEqual(await roomy.landEvents([entry]), counts(1))
  await roomy.close()
})

test('after a failed write nothing is acknowledged or returned, and acknowledged rows are there after a restart', async (t) => {
  const dataDir = temporaryDataDir(t)
  const config = { dataDir, diskReserveBytes: 0 }
  const { store, kill } = await startStoreProcess(config, { maxFileBytes: 1024 * 1024 })
  cleanup(t, kill)
  const calls = Array.from({ length: 40 }, () => entriesOf(manyEvents(100), 10))

  const acknowledged: boolean[] = []
  for (const entries of calls) {
    const code = await store.landEvents(entries).then(
      () => null,
      (error: unknown) => (error as MillraceError).code,
    )
    acknowledged.push(code === null)
    if (code !== null) assert.equal(code, 'internal')
  }
  const firstRefused = acknowledged.indexOf(false)
  assert.ok(firstRefused > 0)
  assert.equal(acknowledged.lastIndexOf(true), firstRefused - 1)
  await assert.rejects(store.listEvents({ limit: 1 }), { code: 'internal' })
  assert.equal((await store.describe()).up, false)
  assert.match((await store.failed).message, /failed/)
  await kill()

  const again = await openStore(config)
  cleanup(t, () => again.close())
  for (const entries of calls.slice(0, firstRefused)) assert.deepEqual(await again.landEvents(entries), counts(0, 100))
  const { landed } = await again.landEvents(calls[firstRefused]!)
  assert.ok(landed === 0 || landed === 100)
})

test("another program's write lock causes a retryable error and loses no rows", { timeout: 30_000 }, async (t) => {
  const { path, store } = await openNew(t)
  const other = new DatabaseSync(path)
  cleanup(t, () => other.close())
  other.exec('BEGIN IMMEDIATE')
  const entries = entriesOf(manyEvents(3), 1)

  await assert.rejects(store.landEvents(entries), { code: 'unavailable', retryable: true })

  other.exec('COMMIT')
  assert.deepEqual(await store.landEvents(entries), counts(3))
})

test('deleted rows are missing from the pages, and rows that reuse their numbers are listed once', async (t) => {
  const { path, store } = await openNew(t)
  const land = (count: number, receivedAtMicros: number) =>
    store.landEvents(entriesOf(manyEvents(count), 200, { receivedAtMicros }))
  for (let call = 0; call < 10; call++) await land(600, someMicros + call * 1_000_000)

  for (const condition of ['rowid > 4100', 'rowid BETWEEN 900 AND 1500', '1']) {
    execute(path, `DELETE FROM events WHERE ${condition}; VACUUM`)
    await land(700, someMicros - 1_000_000)
    await land(700, someMicros + 99_000_000)

    const listed = (await listAll(store)).map(({ eventId }) => eventId)
    const rows = query(path, 'SELECT event_id FROM events ORDER BY received_at DESC, event_id DESC')
    assert.deepEqual(
      listed,
      rows.map((row) => uuidFromBytes(row.event_id as Uint8Array)),
    )
  }
})

test('when more events have the same time than a block holds, they fill the pages in the order of their ids', async (t) => {
  const { store } = await openNew(t)
  const made = Array.from({ length: 70_000 }, () => ({ id: randomUUID(), type: 'a' }))
  await store.landEvents(entriesOf(made, 1000))

  const first = await store.listEvents({ limit: 1000 })
  const second = await store.listEvents({ limit: 1000, cursor: first.nextCursor! })

  const newest = made
    .map(({ id }) => id)
    .sort()
    .reverse()
    .slice(0, 2000)
  assert.deepEqual(
    [...first.events, ...second.events].map(({ id }) => id),
    newest,
  )
})

test('a filter with few matches ends its pages early, and following the cursors finds every match', async (t) => {
  const { store } = await openNew(t)
  const needles: string[] = []
  for (let call = 0; call < 10; call++) {
    const events = manyEvents(16_000, () => ({}))
    for (const at of [12_000, 8_000, 4_000, 0]) {
      const needle = { id: ids.next(), type: 'needle' }
      events.splice(at, 0, needle)
      needles.unshift(needle.id)
    }
    await store.landEvents(entriesOf(events, 1000, { receivedAtMicros: someMicros + call }))
  }

  const first = await store.listEvents({ limit: 100, type: 'needle' })
  assert.ok(first.events.length < 40 && first.nextCursor !== null)
  assert.deepEqual(
    (await listAll(store, { type: 'needle' })).map(({ id }) => id),
    needles,
  )
})

test('the store remembers the next offset of each stream, whatever the outcome of its events', async (t) => {
  const { path, store } = await openNew(t)
  execute(
    path,
    "CREATE TRIGGER refuse BEFORE INSERT ON events WHEN NEW.type = 'poison' BEGIN SELECT RAISE(ABORT, 'no'); END",
  )
  await store.landEvents([
    entryOf(manyEvents(10), { offset: 90 }),
    entryOf(manyEvents(10), { offset: 40 }),
    entryOf([{ id: ids.next(), type: 'poison' }], { lane: 'low', offset: 7 }),
  ])
  await store.landEvents([entryOf(manyEvents(1), { offset: 0 })])

  assert.deepEqual(
    query(path, 'SELECT lane, next_offset FROM landed_streams JOIN streams USING (stream) ORDER BY lane').map(
      (row) => ({ ...row }),
    ),
    [
      { lane: 'low', next_offset: 8 },
      { lane: 'normal', next_offset: 100 },
    ],
  )
})

interface OpenedNew {
  readonly dataDir: string
  readonly path: string
  readonly store: EventStore
}

async function openNew(t: TestContext): Promise<OpenedNew> {
  const dataDir = temporaryDataDir(t)
  const store = await openStore({ dataDir, diskReserveBytes: 0 })
  cleanup(t, () => store.close())
  return { dataDir, path: join(dataDir, 'store.db'), store }
}

function temporaryDataDir(t: TestContext): string {
  const dataDir = mkdtempSync(join(tmpdir(), 'millrace-store-'))
  cleanup(t, () => rmSync(dataDir, { recursive: true }))
  return dataDir
}

function manyEvents(count: number, parts: () => Partial<EventParts> = () => ({ data: filler })): EventParts[] {
  return Array.from({ length: count }, () => ({ id: ids.next(), type: 'a', ...parts() }))
}

/** Runs SQL while the store is running, as another program may. */
function query(path: string, sql: string, ...values: (string | Uint8Array)[]): Record<string, unknown>[] {
  const database = new DatabaseSync(path, { readOnly: true })
  try {
    return database.prepare(sql).all(...values)
  } finally {
    database.close()
  }
}

function execute(path: string, sql: string): void {
  const database = new DatabaseSync(path, { timeout: 5000 })
  try {
    database.exec(sql)
  } finally {
    database.close()
  }
}

function readRow(path: string, eventId: string): EventTableRow | null {
  const [row] = query(
    path,
    `SELECT event_id, id, source, type, subject, CAST(time AS TEXT) AS time, CAST(received_at AS TEXT) AS received_at,
       events.topic, priority, key, data, data_bytes, data_content_type, attributes, log_offset, json_object('topic', streams.topic, 'partition', partition, 'lane', lane, 'epoch', epoch) AS stream
     FROM events JOIN streams USING (stream) WHERE event_id = ?`,
    uuidToBytes(eventId),
  )
  if (row === undefined) return null
  return {
    eventId: uuidFromBytes(row.event_id as Uint8Array),
    id: row.id as string | null,
    source: row.source as string,
    type: row.type as string,
    subject: row.subject as string | null,
    timeMicros: BigInt(row.time as string),
    receivedAtMicros: BigInt(row.received_at as string),
    topic: row.topic as string,
    priority: row.priority as number,
    key: row.key as string | null,
    data: row.data as string | null,
    dataBytes: row.data_bytes as Uint8Array | null,
    dataContentType: row.data_content_type as string,
    attributes: row.attributes === null ? null : JSON.parse(row.attributes as string),
    stream: JSON.parse(row.stream as string),
    logOffset: row.log_offset as number,
  }
}
