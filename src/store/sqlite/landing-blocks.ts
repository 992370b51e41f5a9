// The range of received_at per block of rows: a table with one row per some thousand events, like a BRIN index.
//
// An index on received_at would cost time per landed row; this table costs some rows per landing call. Events land
// nearly in the order of receipt, so a block is a narrow time range, and a query for the newest events reads only the
// blocks that can contain them (list-events.ts). Relies on rowids that increase with each landed row and never change:
// VACUUM keeps them because the table has a key.

import type { DatabaseSync, StatementSync } from 'node:sqlite'
import { readSql } from './sql-file.ts'

/** Reading a page scans about one or two blocks: 4,096 rows take 1.5 ms. */
export const maxBlockRows = 4096

/**
 * From this many rows on, a block accepts only rows received within `nearMicros` of its range. The lanes' waiting times
 * differ; if blocks mixed all lanes, each block would span that difference, and a page would have to scan all blocks.
 */
const minBlockRows = 256
const nearMicros = 100_000

interface Block {
  first: number
  last: number
  minReceivedAt: number
  maxReceivedAt: number
}

/** Updates the blocks while rows land, within the open transaction. */
export class LandingBlocks {
  readonly #last: StatementSync
  readonly #put: StatementSync
  readonly #drop: StatementSync
  #open: Block | null = null
  #loaded = false

  constructor(database: DatabaseSync) {
    this.#last = database.prepare(readSql('last-block'))
    this.#put = database.prepare(readSql('put-block'))
    this.#drop = database.prepare(readSql('drop-blocks'))
  }

  /** Adds a row that has just landed after all existing ones. */
  add(rowid: number, receivedAtMicros: number): void {
    if (!this.#loaded) this.#load()
    if (this.#open !== null && rowid <= this.#open.last) this.#cutTo(rowid)
    const block = this.#open
    if (block === null || !hasRoom(block, receivedAtMicros)) {
      this.save()
      this.#open = { first: rowid, last: rowid, minReceivedAt: receivedAtMicros, maxReceivedAt: receivedAtMicros }
      return
    }
    block.last = rowid
    if (receivedAtMicros < block.minReceivedAt) block.minReceivedAt = receivedAtMicros
    else if (receivedAtMicros > block.maxReceivedAt) block.maxReceivedAt = receivedAtMicros
  }

  /** Writes the open block. Call it before the commit. */
  save(): void {
    if (this.#open === null) return
    const { first, last, minReceivedAt, maxReceivedAt } = this.#open
    this.#put.run(first, last, minReceivedAt, maxReceivedAt)
  }

  /** Call it after a rollback: the state in memory no longer matches the table. */
  forget(): void {
    this.#open = null
    this.#loaded = false
  }

  #load(): void {
    const row = this.#last.get()
    this.#open =
      row === undefined
        ? null
        : {
            first: row.first_rowid as number,
            last: row.last_rowid as number,
            minReceivedAt: row.min_received_at as number,
            maxReceivedAt: row.max_received_at as number,
          }
    this.#loaded = true
  }

  /** After the newest rows were deleted, SQLite reuses their rowids: removes these from the blocks. */
  #cutTo(first: number): void {
    this.#drop.run(first)
    this.#load()
    if (this.#open !== null) this.#open.last = Math.min(this.#open.last, first - 1)
  }
}

function hasRoom({ first, last, minReceivedAt, maxReceivedAt }: Block, receivedAtMicros: number): boolean {
  const rows = last - first + 1
  if (rows >= maxBlockRows) return false
  if (rows < minBlockRows) return true
  return receivedAtMicros >= minReceivedAt - nearMicros && receivedAtMicros <= maxReceivedAt + nearMicros
}
