import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { DatabaseSync } from 'node:sqlite'
import { type TestContext, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { openDatabase } from '../../lib/sqlite/open-database.ts'
import { parseMigrations } from '../migrations.ts'
import { migrate } from './migrate.ts'
import { readMigrationFiles } from './sql-file.ts'

const files = (...texts: string[]) => texts.map((sql, index) => ({ file: `000${index + 1}-step.sql`, sql }))
const makeA = 'CREATE TABLE a (x); INSERT INTO a VALUES (1);'
const makeB = 'CREATE TABLE b (x); INSERT INTO b SELECT x FROM a;'

function temporaryPath(t: TestContext): string {
  const directory = mkdtempSync(join(tmpdir(), 'millrace-migrate-'))
  t.after(() => rmSync(directory, { recursive: true }))
  return join(directory, 'store.db')
}

function open(path: string): DatabaseSync {
  return openDatabase({ path, exclusive: false, busyTimeoutMs: 1000, mayCreate: true }).database
}

function tablesOf(database: DatabaseSync): unknown[] {
  return database
    .prepare("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name")
    .all()
    .map(({ name }) => name)
}

test('migrations are applied in order, once each, and recorded', (t) => {
  const database = open(temporaryPath(t))
  const all = parseMigrations(files(makeA, makeB))

  migrate(database, all.slice(0, 1), 'store.db', () => 1000)
  assert.deepEqual(tablesOf(database), ['a', 'migrations'])
  migrate(database, all, 'store.db', () => 2000)
  migrate(database, all, 'store.db', () => 3000)

  assert.deepEqual(tablesOf(database), ['a', 'b', 'migrations'])
  const rows = database.prepare('SELECT number, name, checksum, applied_at FROM migrations').all()
  assert.deepEqual(
    rows.map((row) => ({ ...row })),
    all.map(({ checksum }, index) => ({
      number: index + 1,
      name: 'step',
      checksum,
      applied_at: (index + 1) * 1_000_000,
    })),
  )
  database.close()
})

test('a failed migration is rolled back, and the ones before it stay applied', (t) => {
  const database = open(temporaryPath(t))

  assert.throws(() =>
    migrate(database, parseMigrations(files(makeA, 'CREATE TABLE b (x); oops;')), 'store.db', Date.now),
  )
  assert.deepEqual(tablesOf(database), ['a', 'migrations'])

  migrate(database, parseMigrations(files(makeA, makeB)), 'store.db', Date.now)
  assert.deepEqual(tablesOf(database), ['a', 'b', 'migrations'])
  database.close()
})

test('if a start is killed in the middle of a migration, the next start runs it again', async (t) => {
  const path = temporaryPath(t)
  const endless = `${makeB} INSERT INTO b WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT hex(zeroblob(500)) FROM n;`
  const script = `
    import { openDatabase } from ${JSON.stringify(new URL('../../lib/sqlite/open-database.ts', import.meta.url))}
    import { parseMigrations } from ${JSON.stringify(new URL('../migrations.ts', import.meta.url))}
    import { migrate } from ${JSON.stringify(new URL('./migrate.ts', import.meta.url))}
    const { database } = openDatabase({ path: ${JSON.stringify(path)}, exclusive: false, busyTimeoutMs: 0, mayCreate: true })
    migrate(database, parseMigrations(${JSON.stringify(files(makeA, endless))}), 'store.db', Date.now)`
  const child = spawn(process.execPath, ['--input-type=module', '-e', script], { stdio: 'inherit' })
  const exited = once(child, 'exit')
  // The WAL reaches this size only in the middle of the endless statement, long after the first migration.
  while ((statSync(`${path}-wal`, { throwIfNoEntry: false })?.size ?? 0) < 4_000_000) {
    assert.equal(child.exitCode, null)
    await sleep(5)
  }
  child.kill('SIGKILL')
  await exited

  const database = open(path)
  assert.deepEqual(tablesOf(database), ['a', 'migrations'])
  migrate(database, parseMigrations(files(makeA, makeB)), 'store.db', Date.now)
  assert.deepEqual(tablesOf(database), ['a', 'b', 'migrations'])
  assert.deepEqual({ ...database.prepare('SELECT count(*) AS rows FROM b').get() }, { rows: 1 })
  database.close()
})

test('the migrations of this version are named and numbered without a gap', () => {
  const migrations = parseMigrations(readMigrationFiles())
  assert.deepEqual(
    migrations.map(({ number }) => number),
    Array.from(migrations, (_, index) => index + 1),
  )
  assert.throws(
    () => parseMigrations([{ file: '0002-late.sql', sql: '' }]),
    /migration 1 is missing: found 0002-late\.sql/,
  )
  assert.throws(() => parseMigrations([{ file: '1-short.sql', sql: '' }]), /migration 1 is missing/)
})
