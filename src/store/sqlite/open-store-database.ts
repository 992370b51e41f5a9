// Opens store.db, and refuses a file that is not an event store of Millrace.

import type { DatabaseSync } from 'node:sqlite'
import { MillraceError } from '../../errors.ts'
import { SqliteFailure } from '../../lib/sqlite/failure.ts'
import { openDatabase, truncateWal } from '../../lib/sqlite/open-database.ts'
import { parseMigrations } from '../migrations.ts'
import { migrate } from './migrate.ts'
import { readMigrationFiles, readSql } from './sql-file.ts'

/** The application_id in the header of an event store, set by the first migration. */
const applicationId = 0x6d6c7273

/** Other programs may read the file while the server runs, or even write to it. */
const busyTimeoutMs = 5000

/** Compared with SQLite's default 4096: rows in ascending order of ids land with 5 % less CPU, random ones as fast. */
const pageBytes = 8192

/**
 * Page cache, 64 MiB, for the pages of the key's index that a landing of random ids changes: with fewer they are written
 * twice, and reread (docs/decisions/0003-embedded-store-tables.md).
 */
const cacheKibibytes = 64 * 1024

/**
 * Throws a SqliteFailure, or `failed_precondition` if another version of Millrace has migrated the file or `events` has
 * lost its key.
 */
export function openStoreDatabase(path: string, mayCreate: boolean, now: () => number): DatabaseSync {
  const { database } = openDatabase({ path, exclusive: false, busyTimeoutMs, mayCreate, pageBytes })
  try {
    refuseForeign(database, path)
    truncateWal(database)
    migrate(database, parseMigrations(readMigrationFiles()), path, now)
    requireKey(database, path)
    database.exec(`PRAGMA cache_size = -${cacheKibibytes}`)
    return database
  } catch (thrown) {
    database.close()
    throw thrown
  }
}

function refuseForeign(database: DatabaseSync, path: string): void {
  const found = database.prepare('PRAGMA application_id').get()!.application_id
  if (found === applicationId) return
  // A start that is killed before its first migration leaves a database without tables.
  const tables = database.prepare('SELECT count(*) AS count FROM sqlite_schema').get()!.count as number
  if (tables === 0 && found === 0) return
  throw new SqliteFailure(
    'damaged',
    `${path} is not an event store of Millrace: its application_id is ${found}, expected ${applicationId}`,
  )
}

/** A table that was recreated, for example by a copy, has no key; a redelivery would then make a second row. */
function requireKey(database: DatabaseSync, path: string): void {
  if (database.prepare(readSql('find-key')).get() !== undefined) return
  throw new MillraceError(
    'failed_precondition',
    `${path}: the table events has no primary key event_id, so an event could get two rows; delete the rows that are ` +
      'there twice, then run "CREATE UNIQUE INDEX events_key ON events (event_id)"',
  )
}
