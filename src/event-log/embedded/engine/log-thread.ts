// The thread that owns log.db. It executes one transaction at a time and reads between transactions. Its only decision
// is whether there is enough disk space.

import { closeSync, fsyncSync, openSync } from 'node:fs'
import { Checkpointer } from '../../lib/sqlite/checkpointer.ts'
import { serve, Transferred } from '../../lib/sqlite/database-thread.ts'
import { SqliteFailure, toSqliteFailure } from '../../lib/sqlite/failure.ts'
import { FlushLatch } from '../../lib/sqlite/flush-latch.ts'
import { truncateWal } from '../../lib/sqlite/open-database.ts'
import { CommitTransaction } from './commit-transaction.ts'
import { DiskRoom } from './disk-room.ts'
import { FactFinder } from './durable-facts.ts'
import { EntryTable } from './entry-table.ts'
import { loadLog } from './load-log.ts'
import { namedDamage, type OpenLogDatabase, openLogDatabase } from './log-database.ts'
import { logFiles } from './log-files.ts'
import { LogMark } from './log-mark.ts'
import type {
  AuditRequest,
  CommitReply,
  CommitRequest,
  EntryStartRequest,
  LogSnapshot,
  LogThreadData,
  OpenReply,
  ReadEntriesRequest,
  ReadPageRequest,
} from './thread-protocol.ts'

/** About how many bytes one commit writes besides its entries: a page for each table and index. */
const bookBytesPerCommit = 32 * 1024

/** When disk space is short, the WAL is emptied after this many bytes, to free the space that it takes. */
const tightCheckpointBytes = 256 * 1024

class LogThread {
  readonly #database: OpenLogDatabase['database']
  readonly #path: string
  readonly #latch = new FlushLatch()
  readonly #entries: EntryTable
  readonly #transaction: CommitTransaction
  readonly #facts: FactFinder
  readonly #room: DiskRoom
  readonly #checkpointer: Checkpointer
  readonly #mark: LogMark
  readonly #snapshot: LogSnapshot
  #bytesSinceTruncate = 0

  constructor(opened: OpenLogDatabase, { dataDir, diskReserveBytes }: LogThreadData) {
    const { database, books, log } = opened
    const files = logFiles(dataDir)
    this.#database = database
    this.#path = files.database
    this.#entries = new EntryTable(database, files.database)
    this.#snapshot = loadLog(opened, this.#entries, files.database)
    this.#transaction = new CommitTransaction(database, books, this.#entries)
    this.#facts = new FactFinder(database, books)
    this.#room = new DiskRoom(database, dataDir, files, diskReserveBytes)
    this.#checkpointer = new Checkpointer(database, files.database)
    this.#mark = new LogMark(files.mark)
    this.#mark.write({ appendNumber: log.lastAppendNumber, epoch: log.epoch })
    this.#mark.flush()
    flushDirectory(dataDir)
  }

  get snapshot(): LogSnapshot {
    return this.#snapshot
  }

  commit(request: CommitRequest): Transferred<CommitReply> {
    const { bytes, refusableBytes } = request
    if (refusableBytes > 0 && !this.hasRoom(refusableBytes)) {
      return new Transferred<CommitReply>({ committed: false, bytes, trimmed: null }, [bytes.buffer])
    }
    const trimmed = this.#run(() => this.#transaction.run(request))
    this.#run(() => this.#afterCommit(request))
    return new Transferred<CommitReply>({ committed: true, bytes, trimmed }, [bytes.buffer])
  }

  hasRoom(newBytes: number): boolean {
    let has = false
    this.#run(() =>
      ignoreFull(() => {
        has = this.#room.has(newBytes)
      }),
    )
    return has
  }

  entryStart({ stream, offset }: EntryStartRequest): number {
    return this.#run(() => this.#entries.startOf(stream, offset))
  }

  readPage({ stream, from, to, maxBytes }: ReadPageRequest) {
    const read = this.#run(() => this.#entries.readPage(stream, from, to, maxBytes))
    return new Transferred(read, [read.entries.buffer as ArrayBuffer, read.bytes])
  }

  readEntries({ stream, offsets, maxBytes }: ReadEntriesRequest) {
    const read = this.#run(() => this.#entries.readEach(stream, offsets, maxBytes))
    return new Transferred(read, [read.entries.buffer as ArrayBuffer, read.bytes])
  }

  describe() {
    return this.#run(() => this.#facts.describe())
  }

  audit(request: AuditRequest) {
    return this.#run(() => this.#facts.audit(request))
  }

  /** Empties the WAL unless the database has failed, and closes the files. */
  close(): null {
    try {
      if (this.#latch.failure === null) this.#run(() => ignoreFull(() => truncateWal(this.#database)))
    } finally {
      this.#database.close()
      this.#mark.close()
    }
    return null
  }

  #run<T>(work: () => T): T {
    try {
      return this.#latch.run(work)
    } catch (thrown) {
      throw namedDamage(thrown, this.#path)
    }
  }

  /** Runs when the transaction is durable. An error here still ends the log, because the next flush would hide it. */
  #afterCommit(request: CommitRequest): void {
    const { log } = request
    ignoreFull(() => {
      if (log !== null) this.#mark.write({ appendNumber: log.lastAppendNumber, epoch: log.epoch })
    })
    const written = request.bytes.byteLength + bookBytesPerCommit
    this.#bytesSinceTruncate += written
    ignoreFull(() => {
      if (this.#room.isTight && this.#bytesSinceTruncate > tightCheckpointBytes) {
        this.#bytesSinceTruncate = 0
        truncateWal(this.#database)
      } else {
        this.#checkpointer.afterCommit(written)
      }
    })
  }
}

/** A full disk stops a checkpoint but affects no committed data: the checkpoint is retried after a later commit. */
function ignoreFull(work: () => void): void {
  try {
    work()
  } catch (thrown) {
    if (toSqliteFailure(thrown).kind !== 'full') throw thrown
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

serve((data: LogThreadData) => {
  let thread: LogThread | null = null
  const open = (): LogThread => {
    if (thread === null) throw new SqliteFailure('other', 'the log is not open')
    return thread
  }
  return {
    open(): OpenReply {
      const files = logFiles(data.dataDir)
      const opened = openLogDatabase(files)
      if ('otherFormat' in opened) return opened
      try {
        thread = new LogThread(opened, data)
      } catch (thrown) {
        opened.database.close()
        throw namedDamage(thrown, files.database)
      }
      return { snapshot: thread.snapshot }
    },
    commit: (request: CommitRequest) => open().commit(request),
    hasRoom: (newBytes: number) => open().hasRoom(newBytes),
    entryStart: (request: EntryStartRequest) => open().entryStart(request),
    readPage: (request: ReadPageRequest) => open().readPage(request),
    readEntries: (request: ReadEntriesRequest) => open().readEntries(request),
    describe: () => open().describe(),
    audit: (request: AuditRequest) => open().audit(request),
    close: () => open().close(),
  }
})
