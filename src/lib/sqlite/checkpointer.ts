// Decides when the WAL is checkpointed into the database file. SQLite's automatic checkpoint is off because it hides
// its errors: with EIO on every write to the database file, 40 of 40 commits succeeded
// (docs/decisions/0002-embedded-log.md).

import { statSync } from 'node:fs'
import type { DatabaseSync } from 'node:sqlite'
import { truncateWal } from './open-database.ts'

/** After about this many bytes of commits the WAL is copied into the database file. */
export const walCheckpointBytes = 16 * 1024 * 1024

/** From this WAL size on it is also truncated, unless a reader prevents that. */
export const walTruncateBytes = 64 * 1024 * 1024

/** After about this many bytes of commits the WAL's size is looked at; short of space, the WAL is truncated then. */
export const checkpointLookBytes = 256 * 1024

/** Keeps the WAL of one database small. Its errors are as serious as those of a commit: run it in the flush latch. */
export class Checkpointer {
  readonly #database: DatabaseSync
  readonly #walPath: string
  readonly #spareBytes: () => number
  #bytesSinceLook = 0
  #bytesSinceCheckpoint = 0

  /** @param spareBytes answers how many more bytes the disk takes. A WAL that has more is truncated. */
  constructor(database: DatabaseSync, databasePath: string, spareBytes: () => number = () => Number.POSITIVE_INFINITY) {
    this.#database = database
    this.#walPath = `${databasePath}-wal`
    this.#spareBytes = spareBytes
  }

  /** Call it after each commit. @param writtenBytes about how many bytes it wrote; saves a stat() per commit. */
  afterCommit(writtenBytes: number): void {
    this.#bytesSinceLook += writtenBytes
    this.#bytesSinceCheckpoint += writtenBytes
    if (this.#bytesSinceLook < checkpointLookBytes) return
    this.#bytesSinceLook = 0
    const isShort = this.#walBytes() > this.#spareBytes()
    if (!isShort && this.#bytesSinceCheckpoint < walCheckpointBytes) return
    this.#bytesSinceCheckpoint = 0
    if (isShort || this.#walBytes() > walTruncateBytes) this.#truncateWithoutWaiting()
    else this.#database.exec('PRAGMA wal_checkpoint(PASSIVE)')
  }

  /** Without this, a long read would delay the commits by the whole busy timeout, at every checkpoint. */
  #truncateWithoutWaiting(): void {
    const { timeout } = this.#database.prepare('PRAGMA busy_timeout').get() as { timeout: number }
    this.#database.exec('PRAGMA busy_timeout = 0')
    try {
      truncateWal(this.#database)
    } finally {
      this.#database.exec(`PRAGMA busy_timeout = ${timeout}`)
    }
  }

  #walBytes(): number {
    return statSync(this.#walPath, { throwIfNoEntry: false })?.size ?? 0
  }
}
