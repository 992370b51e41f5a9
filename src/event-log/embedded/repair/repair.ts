// Repairs a damaged log: copies what can be read into a new file, keeps the old file under another name, and begins a
// new epoch, because acknowledged offsets may be missing.

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
import { DatabaseSync } from 'node:sqlite'
import { MillraceError } from '../../../errors.ts'
import { SqliteFailure } from '../../../lib/sqlite/failure.ts'
import { openDatabase } from '../../../lib/sqlite/open-database.ts'
import { Books } from '../file/books.ts'
import { describeHolder } from '../file/data-directory.ts'
import { type LogFiles, logFiles } from '../file/log-files.ts'
import { logPageBytes } from '../file/log-format.ts'
import { LogMark, type Mark, readLogMark } from '../file/log-mark.ts'
import { inspectLog } from './inspect.ts'
import { type RebuiltLog, rebuildLog } from './rebuild-log.ts'

/** The first bytes of every SQLite database file. */
const magic = 'SQLite format 3\0'

export interface LogRepair extends RebuiltLog {
  /** The new path of the old database file; null when there was none. */
  readonly keptAs: string | null
  /**
   * Acknowledged entries that are missing at the end of the log; their number of events is unknown. Null when neither
   * the books nor the mark could be read, so that the former length of the log is unknown.
   */
  readonly lostEntries: number | null
  /** The new epoch. */
  readonly epoch: number
}

/**
 * Repairs a log that no process has open. Returns null when there is nothing to repair.
 * Errors: `failed_precondition` (the log is in use or has the format of another version), `disk_full` (no space for the
 * copy). The log is then unchanged.
 */
export function repairLog(dataDir: string): LogRepair | null {
  const files = logFiles(dataDir)
  const { inUseBy, findings } = inspectLog(dataDir)
  if (inUseBy !== null) throw inUse(dataDir, inUseBy)
  if (!findings.some(({ needsRepair }) => needsRepair)) return null
  const newPath = join(dataDir, 'log.repairing.db')
  const scratchPath = join(dataDir, 'log.scratch.db')
  try {
    const { next, ...repair } = rebuild(openSource(files, scratchPath), files, newPath)
    const keptAs = putInPlace(newPath, files)
    writeMark(files, next)
    return { ...repair, epoch: next.epoch, keptAs }
  } catch (thrown) {
    if (thrown instanceof SqliteFailure && thrown.kind === 'locked') {
      throw inUse(dataDir, describeHolder(files.holder))
    }
    if (thrown instanceof SqliteFailure && thrown.kind === 'full') {
      const text = `the disk of ${dataDir} has no space for a copy of the log; free space on it`
      throw new MillraceError('disk_full', text, { cause: thrown })
    }
    throw thrown
  } finally {
    for (const path of [newPath, scratchPath]) removeDatabase(path)
  }
}

function inUse(dataDir: string, holder: string): MillraceError {
  return new MillraceError('failed_precondition', `the data directory ${dataDir} is in use by ${holder}; stop it first`)
}

/** Opens the damaged database, a copy that was made readable, or an empty one when nothing can be read. */
function openSource(files: LogFiles, scratchPath: string): DatabaseSync {
  if (!existsSync(files.database)) return new DatabaseSync(':memory:')
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
    if (thrown instanceof SqliteFailure && thrown.kind === 'damaged') return new DatabaseSync(':memory:')
    throw thrown
  }
}

/** Copies a truncated file and pads the copy with zeros to the size given in its header. */
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
  // Offset 28 of the header: the number of pages. https://www.sqlite.org/fileformat.html#the_database_header
  const pages = Math.max(Math.ceil(size / logPageBytes), header.readUInt32BE(28))
  truncateSync(scratchPath, pages * logPageBytes)
}

/** Rebuilds the log at `newPath` and closes the source. */
function rebuild(source: DatabaseSync, files: LogFiles, newPath: string) {
  try {
    removeDatabase(newPath)
    const mark = readLogMark(files.mark)
    const markOrZero = typeof mark === 'string' ? { appendNumber: 0, epoch: 0 } : mark
    const [log] = new Books(source, files.database).log.loadReadable()
    const lastInLog = Math.max(log?.lastAppendNumber ?? 0, lastAppendNumberIn(source))
    const appendNumber = Math.max(lastInLog, markOrZero.appendNumber)
    const isLengthKnown = log !== undefined || typeof mark !== 'string'
    const next: Mark = { appendNumber, epoch: Math.max(log?.epoch ?? 0, markOrZero.epoch) + 1 }
    return { ...rebuildLog(newPath, source, next), next, lostEntries: isLengthKnown ? appendNumber - lastInLog : null }
  } finally {
    source.close()
  }
}

/** The append number of the last entry that can be reached from the end; 0 when none can be. */
function lastAppendNumberIn(source: DatabaseSync): number {
  try {
    return Number(source.prepare('SELECT coalesce(max(append_number), 0) AS last FROM entries').get()?.last)
  } catch {
    return 0
  }
}

/**
 * Moves the old files to an unused name and the new file into their place. Returns the path of the old database file.
 */
function putInPlace(newPath: string, { database, refusedWal }: LogFiles): string | null {
  const keptAs = freeName(dirname(database))
  const wal = `${database}-wal`
  const hadDatabase = existsSync(database)
  if (hadDatabase) linkSync(database, keptAs)
  // SQLite would apply an old WAL beside the new database to it.
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

function writeMark(files: LogFiles, next: Mark): void {
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
