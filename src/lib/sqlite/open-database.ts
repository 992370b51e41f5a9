// Opens a database file the way Millrace needs it: flushed at every commit, checkpointed by us, never made anew beside
// the remains of an old one.
//
// Only stat() is used on the files, never open(): closing any descriptor of a database file drops the lock that this
// process holds on it (docs/decisions/0002-embedded-log.md).

import { existsSync, statSync } from 'node:fs'
import { DatabaseSync } from 'node:sqlite'
import { SqliteFailure, toSqliteFailure } from './failure.ts'

/** Size of a page in bytes unless told otherwise; a database file is always a whole number of pages. */
export const pageBytes = 4096

export interface OpenDatabaseOptions {
  readonly path: string
  /** Keeps every other process, and every other connection of this one, out. */
  readonly exclusive: boolean
  /** How long a statement waits for somebody else's lock. */
  readonly busyTimeoutMs: number
  /** Whether a new database may be made where there is none. */
  readonly mayCreate: boolean
  /** Size of a page in bytes, the same at each opening. Larger ones cost less for large rows. Default: `pageBytes`. */
  readonly pageBytes?: number
}

export interface OpenedDatabase {
  readonly database: DatabaseSync
  /** Whether the file was made now. */
  readonly created: boolean
}

/**
 * Opens the database in WAL mode with `synchronous=FULL`, no automatic checkpoint, and `auto_vacuum=INCREMENTAL`.
 * Leaves the WAL as it is: a caller that trusts what it finds flushes what a killed process left there with `truncateWal`,
 * before anything is acknowledged.
 * Throws a SqliteFailure: `locked` when another owner has it, `damaged` when the file is cut, foreign, or missing beside
 * its WAL, `full` and `io` as they come. Nothing stays open then.
 */
export function openDatabase(options: OpenDatabaseOptions): OpenedDatabase {
  const created = refuseRemains(options)
  // URI form, because a plain path would make a new file where the old one has vanished meanwhile.
  const location = created
    ? options.path
    : `file:${encodeURI(options.path).replace(/[?#]/g, encodeURIComponent)}?mode=rw`
  let database: DatabaseSync | undefined
  try {
    database = new DatabaseSync(location, { timeout: options.busyTimeoutMs })
    if (options.exclusive) database.exec('PRAGMA locking_mode=EXCLUSIVE')
    if (created) prepareFile(database, options.pageBytes ?? pageBytes)
    prepareConnection(database, options.exclusive)
    return { database, created }
  } catch (thrown) {
    database?.close()
    throw namingTheFile(toSqliteFailure(thrown), options.path)
  }
}

/** SQLite's own words for damage do not say which file it is. */
function namingTheFile(failure: SqliteFailure, path: string): SqliteFailure {
  if (failure.kind !== 'damaged' || failure.message.includes(path)) return failure
  const text = `${path}: expected a sound SQLite database, found "${failure.message}" (errcode ${failure.errcode})`
  return new SqliteFailure('damaged', text, failure.errcode, failure)
}

/** Whether a new file is to be made; throws when files are there from which no sound database can come. */
function refuseRemains({ path, mayCreate, pageBytes: wholeBytes = pageBytes }: OpenDatabaseOptions): boolean {
  const walPath = `${path}-wal`
  if (!existsSync(path)) {
    if (existsSync(walPath)) {
      throw new SqliteFailure('damaged', `${path} is missing, but its write-ahead log ${walPath} is there`)
    }
    if (!mayCreate) throw new SqliteFailure('damaged', `${path} is missing`)
    return true
  }
  const bytes = statSync(path).size
  if (bytes === 0) {
    // SQLite itself leaves an empty file when it is killed before its first write. It holds nothing that could be lost
    // unless the caller knows better (mayCreate says so).
    if (!mayCreate || (existsSync(walPath) && statSync(walPath).size > 0)) {
      throw new SqliteFailure('damaged', `${path} is empty; expected a database`)
    }
    return true
  }
  if (bytes % wholeBytes !== 0) {
    throw new SqliteFailure('damaged', `${path} has ${bytes} bytes; expected a multiple of ${wholeBytes}`)
  }
  return false
}

/**
 * What a file keeps for good. Not for one that exists: even where nothing changes, `auto_vacuum` writes to it, and a file
 * that is refused afterwards must be as it was. Before `journal_mode=WAL`: behind it, it has no effect.
 */
function prepareFile(database: DatabaseSync, newPageBytes: number): void {
  database.exec(`PRAGMA page_size=${newPageBytes}; PRAGMA auto_vacuum=INCREMENTAL`)
}

/** Exclusive locking is on by now: set before the first access, it keeps SQLite from making a shared-memory file. */
function prepareConnection(database: DatabaseSync, exclusive: boolean): void {
  database.exec('PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA wal_autocheckpoint=0')
  database.exec('PRAGMA temp_store=MEMORY; PRAGMA foreign_keys=ON; PRAGMA cell_size_check=ON')
  if (exclusive) {
    // The lock comes with the first access, not with the pragma.
    database.exec('BEGIN IMMEDIATE; COMMIT')
  }
}

/**
 * Moves the whole WAL into the database file, flushes it and empties the WAL.
 * @returns false when a reader was in the way and the WAL could not be emptied (it is tried again later).
 */
export function truncateWal(database: DatabaseSync): boolean {
  const row = database.prepare('PRAGMA wal_checkpoint(TRUNCATE)').get() as { busy: number } | undefined
  return row?.busy === 0
}
