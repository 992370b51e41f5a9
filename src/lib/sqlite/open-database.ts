// Opens a database file as Millrace needs it: flushed at every commit, without automatic checkpoints. It never creates a
// new database next to the remaining files of an old one.
//
// It calls only stat() on the files, never open(): closing any descriptor of a database file drops the locks that this
// process holds on it (docs/decisions/0002-embedded-log.md).

import { existsSync, statSync } from 'node:fs'
import { DatabaseSync } from 'node:sqlite'
import { SqliteFailure, toSqliteFailure } from './failure.ts'

/** Default page size in bytes; a database file is always a whole number of pages. */
export const pageBytes = 4096

export interface OpenDatabaseOptions {
  readonly path: string
  /** Locks out every other process and every other connection of this process. */
  readonly exclusive: boolean
  /** How many milliseconds a statement waits for the lock of another connection. */
  readonly busyTimeoutMs: number
  /** Whether a new database may be created if there is none. */
  readonly mayCreate: boolean
  /** Page size in bytes, the same at each opening. Large pages are cheaper for large rows. Default: `pageBytes`. */
  readonly pageBytes?: number
}

export interface OpenedDatabase {
  readonly database: DatabaseSync
  /** Whether this call created the database. */
  readonly created: boolean
}

/**
 * Opens the database in WAL mode with `synchronous=FULL`, no automatic checkpoint, and `auto_vacuum=INCREMENTAL`. It
 * does not touch the WAL: a killed process may have left unflushed commits there, and the caller must flush them with
 * `truncateWal` before it acknowledges anything. Throws a SqliteFailure and closes the database: `locked` (another
 * owner has it), `damaged` (the file is truncated, foreign, or missing although its WAL exists), `full`, `io`.
 */
export function openDatabase(options: OpenDatabaseOptions): OpenedDatabase {
  const created = checkFiles(options)
  // A URI with mode=rw, because a plain path would create a new file if the old one has just been deleted.
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
    throw withPath(toSqliteFailure(thrown), options.path)
  }
}

/** Adds the path to a `damaged` failure: SQLite's own message does not name the file. */
function withPath(failure: SqliteFailure, path: string): SqliteFailure {
  if (failure.kind !== 'damaged' || failure.message.includes(path)) return failure
  const text = `${path}: expected a sound SQLite database, found "${failure.message}" (errcode ${failure.errcode})`
  return new SqliteFailure('damaged', text, failure.errcode, failure)
}

/** Whether a new database must be created; throws if the files that exist cannot be a complete database. */
function checkFiles({ path, mayCreate, pageBytes: wholeBytes = pageBytes }: OpenDatabaseOptions): boolean {
  const walPath = `${path}-wal`
  if (!existsSync(path)) {
    if (existsSync(walPath)) {
      throw new SqliteFailure('damaged', `${path} is missing, but its write-ahead log ${walPath} exists`)
    }
    if (!mayCreate) throw new SqliteFailure('damaged', `${path} is missing`)
    return true
  }
  const bytes = statSync(path).size
  if (bytes === 0) {
    // SQLite leaves an empty file if it is killed before its first write: nothing is lost. If the caller knows that a
    // database existed (mayCreate is false), the data is missing.
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
 * Sets what is permanent in a file. Only for a new file: `auto_vacuum` writes to the file even if nothing changes, and
 * an existing file that is rejected later must stay unchanged. Must run before `journal_mode=WAL`; after it, it has no
 * effect.
 */
function prepareFile(database: DatabaseSync, newPageBytes: number): void {
  database.exec(`PRAGMA page_size=${newPageBytes}; PRAGMA auto_vacuum=INCREMENTAL`)
}

/** Exclusive locking is already set: before the first access, so that SQLite creates no shared-memory file. */
function prepareConnection(database: DatabaseSync, exclusive: boolean): void {
  database.exec('PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA wal_autocheckpoint=0')
  database.exec('PRAGMA temp_store=MEMORY; PRAGMA foreign_keys=ON; PRAGMA cell_size_check=ON')
  if (exclusive) {
    // The first access takes the lock, not the pragma.
    database.exec('BEGIN IMMEDIATE; COMMIT')
  }
}

/**
 * Copies the whole WAL into the database file, flushes that and truncates the WAL.
 * @returns false if a reader prevented the truncation (a later call retries it).
 */
export function truncateWal(database: DatabaseSync): boolean {
  const row = database.prepare('PRAGMA wal_checkpoint(TRUNCATE)').get() as { busy: number } | undefined
  return row?.busy === 0
}
