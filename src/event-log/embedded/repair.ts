// Mends a damaged log: copies what can be read into a new file, keeps the old one under another name, and begins a new
// epoch, because offsets that were acknowledged may be missing.

import {
  closeSync,
  copyFileSync,
  existsSync,
  fsyncSync,
  linkSync,
  openSync,
  readSync,
  renameSync,
  rmSync,
  statSync,
  truncateSync,
} from 'node:fs'
import { dirname, join } from 'node:path'
import type { DatabaseSync } from 'node:sqlite'
import { MillraceError } from '../../errors.ts'
import { SqliteFailure } from '../../lib/sqlite/failure.ts'
import { openDatabase } from '../../lib/sqlite/open-database.ts'
import { Books } from './books.ts'
import { describeHolder } from './data-directory.ts'
import { type ScannedEntry, scanEntries } from './entry-scan.ts'
import { inspectLog } from './inspect.ts'
import { type LogFiles, logFiles } from './log-files.ts'
import { logPageBytes } from './log-format.ts'
import { LogMark, readLogMark } from './log-mark.ts'
import { type RebuiltLog, rebuildLog } from './rebuild-log.ts'
import { noBooks, type SalvagedBooks, salvageBooks } from './salvage-books.ts'

/** With what every database file of SQLite begins. */
const magic = 'SQLite format 3\0'

export interface LogRepair extends RebuiltLog {
  /** Where the old database file is now; null when there was none. */
  readonly keptAs: string | null
  /**
   * Entries that the log had acknowledged and that are not in it; how many events they had is not known. Null when neither
   * the books nor the mark could be read: then nobody knows how far the log had come.
   */
  readonly lostEntries: number | null
  /** The epoch that begins. */
  readonly epoch: number
}

/**
 * Repairs a log that nobody has open. Answers null when there is nothing to repair.
 * Errors: `failed_precondition` when the log is in use, or of another version; `disk_full` when there is no room for the
 * copy. The log is as it was then.
 */
export function repairLog(dataDir: string): LogRepair | null {
  const files = logFiles(dataDir)
  const { inUseBy, findings } = inspectLog(dataDir)
  if (inUseBy !== null) throw inUse(dataDir, inUseBy)
  if (!findings.some(({ needsRepair }) => needsRepair)) return null
  const newPath = join(dataDir, 'log.repairing.db')
  const scratchPath = join(dataDir, 'log.scratch.db')
  try {
    const source = openSource(files, scratchPath)
    try {
      const { repair, nextMark } = rebuild(source, files, newPath)
      source?.close()
      const keptAs = putInPlace(newPath, files)
      writeMark(files, nextMark)
      return { ...repair, keptAs }
    } finally {
      if (source?.isOpen) source.close()
    }
  } catch (thrown) {
    if (thrown instanceof SqliteFailure && thrown.kind === 'locked') {
      throw inUse(dataDir, describeHolder(files.holder))
    }
    if (thrown instanceof SqliteFailure && thrown.kind === 'full') {
      throw new MillraceError('disk_full', `the disk of ${dataDir} has no room for a copy of the log`, {
        cause: thrown,
      })
    }
    throw thrown
  } finally {
    for (const path of [newPath, scratchPath]) removeDatabase(path)
  }
}

function inUse(dataDir: string, holder: string): MillraceError {
  return new MillraceError('failed_precondition', `the data directory ${dataDir} is in use by ${holder}; stop it first`)
}

/** The damaged database, or a copy of it that was made readable; null when nothing in it can be read. */
function openSource(files: LogFiles, scratchPath: string): DatabaseSync | null {
  if (!existsSync(files.database)) return null
  const open = (path: string) =>
    openDatabase({ path, exclusive: true, busyTimeoutMs: 0, mayCreate: false, pageBytes: logPageBytes }).database
  try {
    return open(files.database)
  } catch (thrown) {
    if (!(thrown instanceof SqliteFailure) || thrown.kind !== 'damaged') throw thrown
  }
  try {
    copyWholePages(files, scratchPath)
    return open(scratchPath)
  } catch (thrown) {
    if (thrown instanceof SqliteFailure && thrown.kind === 'damaged') return null
    throw thrown
  }
}

/** Copies a file that was cut, and fills it up with zeros to the size that its header tells. */
function copyWholePages(files: LogFiles, scratchPath: string): void {
  removeDatabase(scratchPath)
  copyFileSync(files.database, scratchPath)
  if (existsSync(`${files.database}-wal`)) copyFileSync(`${files.database}-wal`, `${scratchPath}-wal`)
  const header = Buffer.alloc(100)
  const descriptor = openSync(scratchPath, 'r')
  readSync(descriptor, header, 0, header.length, 0)
  closeSync(descriptor)
  if (header.toString('latin1', 0, magic.length) !== magic || header.readUInt16BE(16) !== logPageBytes) return
  const { size } = statSync(scratchPath)
  // Offset 28 of the header: how many pages there are. https://www.sqlite.org/fileformat.html#the_database_header
  const pages = Math.max(Math.ceil(size / logPageBytes), header.readUInt32BE(28))
  truncateSync(scratchPath, pages * logPageBytes)
}

interface Rebuilt {
  readonly repair: Omit<LogRepair, 'keptAs'>
  readonly nextMark: { readonly appendNumber: number; readonly epoch: number }
}

function rebuild(source: DatabaseSync | null, files: LogFiles, newPath: string): Rebuilt {
  removeDatabase(newPath)
  const mark = readLogMark(files.mark)
  const markSays = typeof mark === 'string' ? { appendNumber: 0, epoch: 0 } : mark
  const books = source === null ? noBooks : readBooks(source, files.database)
  const lastReadable = source === null ? 0 : lastAppendNumberIn(source)
  const lastInLog = Math.max(books.log?.lastAppendNumber ?? 0, lastReadable)
  const lastAppendNumber = Math.max(lastInLog, markSays.appendNumber)
  const isLengthKnown = books.log !== null || typeof mark !== 'string'
  const epoch = Math.max(books.log?.epoch ?? 0, markSays.epoch) + 1
  const entries: Iterable<ScannedEntry> = source === null ? [] : scanEntries(source, lastAppendNumber)
  const rebuilt = rebuildLog(newPath, books, entries, { epoch, lastAppendNumber })
  return {
    repair: { ...rebuilt, epoch, lostEntries: isLengthKnown ? lastAppendNumber - lastInLog : null },
    nextMark: { appendNumber: lastAppendNumber, epoch },
  }
}

/** The books; none when the database has no such tables, or none that can be read. */
function readBooks(source: DatabaseSync, path: string): SalvagedBooks {
  try {
    return salvageBooks(new Books(source, path))
  } catch {
    return noBooks
  }
}

/** The number of the last entry that can be reached from the end; 0 when none can. */
function lastAppendNumberIn(source: DatabaseSync): number {
  try {
    return Number(source.prepare('SELECT coalesce(max(append_number), 0) AS last FROM entries').get()?.last)
  } catch {
    return 0
  }
}

/** Keeps the old files under a free name and gives the new one theirs. Answers the name of the old database file. */
function putInPlace(newPath: string, { database, refusedWal }: LogFiles): string | null {
  const keptAs = freeName(dirname(database))
  const wal = `${database}-wal`
  const hadDatabase = existsSync(database)
  if (hadDatabase) linkSync(database, keptAs)
  // Beside the new database the old WAL would be taken for its own.
  if (existsSync(wal)) renameSync(wal, `${keptAs}-wal`)
  if (existsSync(refusedWal)) renameSync(refusedWal, keptAs.replace(/\.db$/, '.refused-wal'))
  renameSync(newPath, database)
  const directory = openSync(dirname(database), 'r')
  fsyncSync(directory)
  closeSync(directory)
  return hadDatabase ? keptAs : null
}

function freeName(directory: string): string {
  for (let number = 1; ; number++) {
    const path = join(directory, `log.damaged-${number}.db`)
    if (!existsSync(path)) return path
  }
}

function writeMark(files: LogFiles, next: { readonly appendNumber: number; readonly epoch: number }): void {
  rmSync(files.mark, { force: true })
  const mark = new LogMark(files.mark)
  try {
    mark.write(next)
    mark.flush()
  } finally {
    mark.close()
  }
}

function removeDatabase(path: string): void {
  for (const suffix of ['', '-wal', '-shm', '-journal']) rmSync(`${path}${suffix}`, { force: true })
}
