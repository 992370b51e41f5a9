// Which rows hold which times of receipt: a table of one line for some thousand rows, like PostgreSQL's BRIN index.
//
// An index on received_at would cost every landed row; this costs every landing a line. Rows land nearly in the order in
// which they were received, so a block is a narrow span of time, and whoever looks for the newest events reads only the
// blocks that can hold them (list-events.ts).
// Relies on rowids that grow with each landed row and that nobody changes: VACUUM keeps them, since the table has a key.

import type { DatabaseSync, StatementSync } from 'node:sqlite'
import { readSql } from './sql-file.ts'

/** Reading a page costs about a block or two: 4,096 rows are 1.5 ms. */
export const maxBlockRows = 4096

/**
 * From this many rows on, a block takes only rows received near those it has. Lanes wait for different times; if blocks
 * held the rows of all of them, each would span the whole wait, and a page would have to look into every one.
 */
const minBlockRows = 256
const nearMicros = 100_000

interface Block {
  first: number
  last: number
  minReceivedAt: number
  maxReceivedAt: number
}

/** Keeps the blocks while rows land. Everything happens in the open transaction. */
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

  /** Adds a row that has just landed, behind all that were there. */
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

  /** Writes the open block; to be called before the commit. */
  save(): void {
    if (this.#open === null) return
    const { first, last, minReceivedAt, maxReceivedAt } = this.#open
    this.#put.run(first, last, minReceivedAt, maxReceivedAt)
  }

  /** To be called when the open transaction was rolled back: what is kept here is not what is in the table. */
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

  /** The newest rows were deleted by somebody, so SQLite gives their numbers again: no block may hold them any more. */
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
