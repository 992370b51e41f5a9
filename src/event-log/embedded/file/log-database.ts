// Opens log.db and verifies that it is the log that was there before: a log of Millrace, in a known format, and not
// behind its mark. Creates a new one only where there is neither a mark nor a WAL.
//
// Not its job: the contents of the rows (check-books.ts).

import {
  closeSync,
  constants,
  copyFileSync,
  existsSync,
  fsyncSync,
  openSync,
  renameSync,
  rmSync,
  statSync,
} from 'node:fs'
import type { DatabaseSync } from 'node:sqlite'
import { toSqliteFailure } from '../../../lib/sqlite/failure.ts'
import { openDatabase, truncateWal } from '../../../lib/sqlite/open-database.ts'
import { Books, type LogRow } from './books.ts'
import { LogDamage } from './log-damage.ts'
import type { LogFiles } from './log-files.ts'
import { logApplicationId, logFormatVersion, logPageBytes, upgradedFormatVersion } from './log-format.ts'
import { readLogMark } from './log-mark.ts'
import { sqlFile } from './sql-file.ts'

/** SQLITE_ERROR; here it means a missing table or column. https://www.sqlite.org/rescode.html#error */
const sqliteError = 1

/** A log with the format of another version was found. It was closed unchanged. */
export interface OtherFormat {
  readonly otherFormat: number
}

export interface OpenLogDatabase {
  readonly database: DatabaseSync
  readonly books: Books
  readonly log: LogRow
}

/**
 * Opens the log's database exclusively; nothing else in the directory is changed before that. A log of
 * `upgradedFormatVersion` is upgraded. Throws a SqliteFailure:
 * `locked` when another process has it open, `damaged` (a LogDamage where details are known) when the log is refused.
 * The WAL of a refused log is kept as `refusedWal`.
 */
export function openLogDatabase(files: LogFiles): OpenLogDatabase | OtherFormat {
  const hadMark = existsSync(files.mark)
  const database = openFile(files.database, !hadMark)
  try {
    const otherFormat = identify(database, files, hadMark)
    if (otherFormat !== null) {
      database.close()
      return { otherFormat }
    }
    const books = new Books(database, files.database)
    const log = books.log.get(1)
    if (log === undefined) throw new LogDamage(files.database, 'one row in the table log', 'none')
    compareWithMark(log, files)
    upgrade(database)
    truncateWal(database)
    return { database, books, log }
  } catch (thrown) {
    const failure = namedDamage(thrown, files.database)
    if (failure instanceof LogDamage) keepRefusedWal(files)
    database.close()
    throw failure
  }
}

/**
 * Keeps a copy of the WAL of a refused log. Closing copies what SQLite can read of the WAL into the database and
 * removes the rest, which may be the reason for the refusal. The first copy stays until a repair moves it beside the
 * old database.
 */
function keepRefusedWal(files: LogFiles): void {
  const wal = `${files.database}-wal`
  const part = `${files.refusedWal}.part`
  try {
    if ((statSync(wal, { throwIfNoEntry: false })?.size ?? 0) === 0 || existsSync(files.refusedWal)) return
    copyFileSync(wal, part, constants.COPYFILE_FICLONE)
    const descriptor = openSync(part, 'r')
    fsyncSync(descriptor)
    closeSync(descriptor)
    renameSync(part, files.refusedWal)
  } catch {
    // No disk space, for example. The reason of the refusal matters more, and half a copy would mislead.
    rmSync(part, { force: true })
  }
}

function openFile(path: string, mayCreate: boolean): DatabaseSync {
  try {
    return openDatabase({ path, exclusive: true, busyTimeoutMs: 0, mayCreate, pageBytes: logPageBytes }).database
  } catch (thrown) {
    throw namedDamage(thrown, path)
  }
}

/** The row of a log without topics. */
export function newLogRow(epoch: number, lastAppendNumber: number): LogRow {
  return { id: 1, epoch, lastAppendNumber, lastNumber: 0, topics: 0, groups: 0, producers: 0 }
}

/** Creates the tables of a new log. */
export function createLogSchema(database: DatabaseSync, path: string, first: LogRow): void {
  database.exec('BEGIN IMMEDIATE')
  database.exec(sqlFile('schema'))
  database.exec(sqlFile('requests'))
  database.exec(`PRAGMA application_id = ${logApplicationId}; PRAGMA user_version = ${logFormatVersion}`)
  new Books(database, path).log.save(first)
  database.exec('COMMIT')
}

/**
 * Returns the format version of another version's log, or null when the format is ours or can be made so. Throws when the
 * file is not a log.
 */
function identify(database: DatabaseSync, files: LogFiles, hadMark: boolean): number | null {
  const applicationId = pragma(database, 'application_id')
  const version = pragma(database, 'user_version')
  const objects = Number(database.prepare('SELECT count(*) AS n FROM sqlite_schema').get()?.n)
  if (applicationId === 0 && version === 0 && objects === 0) {
    if (hadMark) throw new LogDamage(files.database, `the log to which ${files.mark} belongs`, 'an empty database')
    createLogSchema(database, files.database, newLogRow(1, 0))
    return null
  }
  if (applicationId !== logApplicationId) {
    throw new LogDamage(
      files.database,
      `a log of Millrace (application id ${logApplicationId})`,
      `another database (application id ${applicationId})`,
    )
  }
  if (version < 1) {
    throw new LogDamage(files.database, `format version ${logFormatVersion}`, `format version ${version}`)
  }
  return version === logFormatVersion || version === upgradedFormatVersion ? null : version
}

function upgrade(database: DatabaseSync): void {
  if (pragma(database, 'user_version') !== upgradedFormatVersion) return
  database.exec('BEGIN IMMEDIATE')
  database.exec(sqlFile('requests'))
  database.exec(`PRAGMA user_version = ${logFormatVersion}`)
  database.exec('COMMIT')
}

/** Refuses a log that ends before its mark: its WAL was cut or damaged, or an old copy was restored. */
function compareWithMark(log: LogRow, files: LogFiles): void {
  const mark = readLogMark(files.mark)
  if (mark === 'absent' || mark === 'unwritten') return
  if (mark === 'damaged') throw new LogDamage(files.mark, '16 bytes with a matching checksum', 'other bytes')
  if (mark.epoch > log.epoch) {
    throw new LogDamage(files.database, `epoch ${mark.epoch}, as recorded in ${files.mark}`, `epoch ${log.epoch}`)
  }
  if (mark.appendNumber > log.lastAppendNumber) {
    throw new LogDamage(
      files.database,
      `append number ${mark.appendNumber}, as recorded in ${files.mark}`,
      `${log.lastAppendNumber} as the last append number`,
    )
  }
}

/** The value of a pragma that is one number. */
export function pragma(database: DatabaseSync, name: string): number {
  return Number(Object.values(database.prepare(`PRAGMA ${name}`).get() ?? {})[0])
}

/** Adds the path when SQLite finds the file damaged, or finds no tables because the schema page is damaged. */
export function namedDamage(thrown: unknown, path: string): unknown {
  if (thrown instanceof LogDamage) return thrown
  const { kind, errcode, message } = toSqliteFailure(thrown)
  // Without an SQLite code the message comes from lib/sqlite and already names the file.
  if (kind === 'damaged' && errcode !== 0) return new LogDamage(path, 'a sound database', message)
  return errcode === sqliteError ? new LogDamage(path, 'the tables of a log', message) : thrown
}
