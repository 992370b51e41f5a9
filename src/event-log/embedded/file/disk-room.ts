// Decides how much may still be written before the disk reserve is used.
//
// Usable space is the free space of the file system beyond the reserve, plus the free pages inside log.db, less the growth of the database
// file when the WAL is copied into it, which is already committed data.

import { statfsSync, statSync } from 'node:fs'
import type { DatabaseSync, StatementSync } from 'node:sqlite'
import { truncateWal } from '../../../lib/sqlite/open-database.ts'
import { pragma } from './log-database.ts'
import type { LogFiles } from './log-files.ts'

/** Bytes go into the WAL first and into the database file later, so each takes space twice until the WAL is reused. */
const copiesOfEachByte = 2

/** A WAL larger than this is emptied when space is short, before appends are refused. */
const walWorthTruncatingBytes = 1024 * 1024

export class DiskRoom {
  readonly #database: DatabaseSync
  readonly #dataDir: string
  readonly #files: LogFiles
  readonly #reserveBytes: number
  readonly #pageBytes: number
  readonly #pageCount: StatementSync
  readonly #freePages: StatementSync

  constructor(database: DatabaseSync, dataDir: string, files: LogFiles, reserveBytes: number) {
    this.#database = database
    this.#dataDir = dataDir
    this.#files = files
    this.#reserveBytes = reserveBytes
    this.#pageBytes = pragma(database, 'page_size')
    this.#pageCount = database.prepare('PRAGMA page_count')
    this.#freePages = database.prepare('PRAGMA freelist_count')
  }

  /** Free space of the file system beyond the reserve, in bytes; negative when part of the reserve is used. */
  get spareBytes(): number {
    const disk = statfsSync(this.#dataDir)
    return disk.bavail * disk.bsize - this.#reserveBytes
  }

  /** Whether this many new bytes can be written without using the reserve. */
  has(newBytes: number): boolean {
    const needed = newBytes * copiesOfEachByte
    const enough = this.#room() >= needed
    if (enough || this.#walBytes() < walWorthTruncatingBytes) return enough
    truncateWal(this.#database)
    return this.#room() >= needed
  }

  #room(): number {
    const pages = Number(this.#pageCount.get()?.page_count)
    const freePages = Number(this.#freePages.get()?.freelist_count)
    const fileBytes = statSync(this.#files.database).size
    const growth = Math.max(0, pages * this.#pageBytes - fileBytes)
    return this.spareBytes + freePages * this.#pageBytes - growth
  }

  #walBytes(): number {
    return statSync(`${this.#files.database}-wal`, { throwIfNoEntry: false })?.size ?? 0
  }
}
