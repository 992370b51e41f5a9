import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { type TestContext, test } from 'node:test'
import { Checkpointer, walCheckpointBytes, walTruncateBytes } from './checkpointer.ts'
import { openDatabase } from './open-database.ts'

const commitBytes = 4 * 1024 * 1024

interface Opened {
  readonly database: DatabaseSync
  readonly walBytes: () => number
  /** Commits about `commitBytes` and calls the checkpointer. */
  readonly commit: () => void
}

function open(t: TestContext, busyTimeoutMs: number): Opened {
  const directory = mkdtempSync(join(tmpdir(), 'millrace-checkpoint-'))
  t.after(() => rmSync(directory, { recursive: true }))
  const path = join(directory, 'some.db')
  const { database } = openDatabase({ path, exclusive: false, busyTimeoutMs, mayCreate: true })
  t.after(() => database.close())
  database.exec('CREATE TABLE t (a)')
  const checkpointer = new Checkpointer(database, path)
  return {
    database,
    walBytes: () => statSync(`${path}-wal`).size,
    commit() {
      database.exec(`INSERT INTO t VALUES (zeroblob(${commitBytes}))`)
      checkpointer.afterCommit(commitBytes)
    },
  }
}

test('the write-ahead log is overwritten after checkpoints and does not grow', (t) => {
  const { walBytes, commit } = open(t, 0)
  for (let commits = 0; commits < 12; commits++) commit()
  assert.ok(walBytes() < walCheckpointBytes + 2 * commitBytes, `${walBytes()} bytes`)
})

test('a long read by another connection makes the WAL grow but delays no commit, and the WAL is truncated later', {
  timeout: 30_000,
}, (t) => {
  const { database, walBytes, commit } = open(t, 600_000)
  commit()
  const reader = new DatabaseSync(database.location() as string, { readOnly: true })
  reader.exec('BEGIN')
  reader.prepare('SELECT count(*) FROM t').get()

  while (walBytes() < walTruncateBytes + 2 * walCheckpointBytes) commit()
  assert.deepEqual({ ...database.prepare('PRAGMA busy_timeout').get() }, { timeout: 600_000 })

  reader.close()
  for (let commits = 0; commits < 8; commits++) commit()
  assert.ok(walBytes() < walCheckpointBytes + 2 * commitBytes, `${walBytes()} bytes`)
})
