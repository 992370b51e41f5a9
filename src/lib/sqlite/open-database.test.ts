import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, truncateSync, unlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { SqliteFailure } from './failure.ts'
import { type OpenDatabaseOptions, openDatabase, pageBytes } from './open-database.ts'

function temporaryPath(t: TestContext): string {
  const directory = mkdtempSync(join(tmpdir(), 'millrace-sqlite-'))
  t.after(() => rmSync(directory, { recursive: true }))
  return join(directory, 'odd name ?#%41.db')
}

const owner = (path: string): OpenDatabaseOptions => ({ path, exclusive: true, busyTimeoutMs: 0, mayCreate: true })
const isKind = (kind: string) => (error: unknown) => error instanceof SqliteFailure && error.kind === kind

test('a database is created if there is none, and opened again if there is one', (t) => {
  const path = temporaryPath(t)
  const first = openDatabase(owner(path))
  assert.equal(first.created, true)
  first.database.exec('CREATE TABLE t (a); INSERT INTO t VALUES (1)')
  assert.deepEqual({ ...first.database.prepare('PRAGMA synchronous').get() }, { synchronous: 2 })
  assert.deepEqual({ ...first.database.prepare('PRAGMA auto_vacuum').get() }, { auto_vacuum: 2 })
  assert.deepEqual({ ...first.database.prepare('PRAGMA journal_mode').get() }, { journal_mode: 'wal' })
  first.database.close()
  const second = openDatabase({ ...owner(path), mayCreate: false })
  assert.equal(second.created, false)
  assert.deepEqual({ ...second.database.prepare('SELECT a FROM t').get() }, { a: 1 })
  second.database.close()
})

test('a second owner fails at once as locked, and the first keeps the database', (t) => {
  const path = temporaryPath(t)
  const first = openDatabase(owner(path))
  assert.throws(() => openDatabase(owner(path)), isKind('locked'))
  assert.throws(() => openDatabase(owner(path)), isKind('locked'))
  first.database.exec('CREATE TABLE t (a)')
  first.database.close()
})

test('truncated, foreign, empty and missing files count as damaged and are never replaced by a new database', (t) => {
  const path = temporaryPath(t)
  openDatabase(owner(path)).database.close()
  writeFileSync(path, Buffer.alloc(pageBytes, 'x'))
  assert.throws(() => openDatabase(owner(path)), isKind('damaged'))
  truncateSync(path, pageBytes - 512)
  assert.throws(() => openDatabase(owner(path)), /expected a multiple of 4096/)
  truncateSync(path, 0)
  assert.throws(() => openDatabase({ ...owner(path), mayCreate: false }), /empty/)
  unlinkSync(path)
  assert.throws(() => openDatabase({ ...owner(path), mayCreate: false }), /missing/)
  writeFileSync(`${path}-wal`, 'frames')
  assert.throws(() => openDatabase(owner(path)), /missing, but its write-ahead log/)
})
