// Runs transactions on log.db: the flush latch, the mark, the checkpoints and the room on the disk around each of them.

import { closeSync, fsyncSync, openSync } from 'node:fs'
import type { DatabaseSync } from 'node:sqlite'
import { Checkpointer, checkpointLookBytes } from '../../../lib/sqlite/checkpointer.ts'
import { toSqliteFailure } from '../../../lib/sqlite/failure.ts'
import { FlushLatch } from '../../../lib/sqlite/flush-latch.ts'
import { truncateWal } from '../../../lib/sqlite/open-database.ts'
import { DiskRoom } from '../file/disk-room.ts'
import { EntryTable } from '../file/entry-table.ts'
import { namedDamage, type OpenLogDatabase } from '../file/log-database.ts'
import { logFiles } from '../file/log-files.ts'
import { LogMark } from '../file/log-mark.ts'
import { type LogTables, UnitOfWork } from './unit-of-work.ts'

/** About how many bytes one commit writes besides its entries: a page for each table and index. */
const bookBytesPerCommit = 32 * 1024

export class LogWriter {
  readonly tables: LogTables
  readonly database: DatabaseSync
  readonly #latch = new FlushLatch()
  readonly #room: DiskRoom
  readonly #checkpointer: Checkpointer
  readonly #mark: LogMark
  /** About how many bytes were committed since the checkpointer heard of them. */
  #newWalBytes = 0

  constructor({ database, books, log }: OpenLogDatabase, dataDir: string, diskReserveBytes: number) {
    const files = logFiles(dataDir)
    this.database = database
    this.tables = { books, entries: new EntryTable(database, files.database), path: files.database }
    this.#room = new DiskRoom(database, dataDir, files, diskReserveBytes)
    this.#checkpointer = new Checkpointer(database, files.database, () => this.#room.spareBytes)
    this.#mark = new LogMark(files.mark)
    this.#mark.write({ appendNumber: log.lastAppendNumber, epoch: log.epoch })
    this.#mark.flush()
    flushDirectory(dataDir)
  }

  /** Whether this many new bytes can be written without using the reserve. */
  hasRoom(newBytes: number): boolean {
    return this.guarded(() => ignoreFull(() => this.#room.has(newBytes)) ?? false)
  }

  /** Whether the reserve is in use: then free pages of the file are worth more to the file system. */
  get isShortOfSpace(): boolean {
    return this.#room.spareBytes < 0
  }

  /**
   * Runs the work in a transaction and commits it, unless it has changed nothing. When it throws, nothing was written.
   * @param newBytes about how many bytes of entries it writes.
   */
  commit(newBytes: number, work: (unit: UnitOfWork) => void): void {
    this.guarded(() => {
      const log = this.#transact(work)
      // The transaction is durable. An error from here on still ends the log, because the next flush would hide it.
      if (log === null) return
      ignoreFull(() => this.#mark.write({ appendNumber: log.lastAppendNumber, epoch: log.epoch }))
      this.#newWalBytes += newBytes + bookBytesPerCommit
    })
  }

  /** Whether a checkpoint may be due. It can take as long as the commit, so the engine answers its callers before. */
  get mayCheckpoint(): boolean {
    return this.#newWalBytes >= checkpointLookBytes
  }

  checkpoint(): void {
    const newBytes = this.#newWalBytes
    this.#newWalBytes = 0
    this.guarded(() => ignoreFull(() => this.#checkpointer.afterCommit(newBytes)))
  }

  /** Runs work on the database; after a failed flush or write, or damage, every later call throws that failure. */
  guarded<T>(work: () => T): T {
    try {
      return this.#latch.run(work)
    } catch (thrown) {
      throw namedDamage(thrown, this.tables.path)
    }
  }

  /** Empties the WAL unless the database has failed, and closes the files. */
  close(): void {
    try {
      if (this.#latch.failure === null) this.guarded(() => ignoreFull(() => truncateWal(this.database)))
    } finally {
      this.database.close()
      this.#mark.close()
    }
  }

  /** Returns the log's row; null when there was nothing to commit. */
  #transact(work: (unit: UnitOfWork) => void): UnitOfWork['log'] | null {
    const { database } = this
    const unit = new UnitOfWork(this.tables)
    database.exec('BEGIN IMMEDIATE')
    try {
      work(unit)
      if (!unit.isEmpty) {
        unit.write()
        database.exec('COMMIT')
        return unit.log
      }
      database.exec('ROLLBACK')
      return null
    } catch (thrown) {
      // After "disk full" and I/O errors SQLite has already rolled back, and ROLLBACK would throw.
      if (database.isTransaction) database.exec('ROLLBACK')
      throw thrown
    }
  }
}

/** A full disk stops a checkpoint but affects no committed data: the checkpoint is retried after a later commit. */
function ignoreFull<T>(work: () => T): T | undefined {
  try {
    return work()
  } catch (thrown) {
    if (toSqliteFailure(thrown).kind !== 'full') throw thrown
    return undefined
  }
}

function flushDirectory(path: string): void {
  const descriptor = openSync(path, 'r')
  try {
    fsyncSync(descriptor)
  } finally {
    closeSync(descriptor)
  }
}
