// The table of dead letters, in the thread that owns the file. Every method is one statement or one transaction and
// must run inside the flush latch.

import type { DatabaseSync, SQLInputValue, StatementSync } from 'node:sqlite'
import type { SqliteFailure } from '../../lib/sqlite/failure.ts'
import { maxDeadLetterCauses } from '../../pipeline/dead-letters.ts'
import { maxPageBytes, type RefusedRow } from '../event-store.ts'
import { conditionOf, type Filter } from './dead-letter-filter.ts'
import { hexArray } from './hex-array.ts'
import { rowFailureOf, rowSkipped } from './row-failure.ts'
import { readSql } from './sql-file.ts'

/** A row of `dead_letters` without its event, as it is sent to the main thread. */
export interface DeadLetterRow {
  readonly dead_letter_id: Uint8Array
  readonly event_id: Uint8Array | null
  readonly topic: string
  readonly group: string
  readonly type: string
  readonly source: string
  readonly code: string
  readonly message: string
  readonly attempts: number
  readonly first_failed_at: number
  readonly dead_at: number
  readonly history: string
  readonly redriven_at: number | null
  readonly redrives: number
}

export interface WholeDeadLetterRow extends DeadLetterRow {
  readonly event: Uint8Array
}

export interface CauseRow {
  readonly topic: string
  readonly group: string
  readonly type: string
  readonly code: string
  readonly cause: string
  readonly dead_letters: number
  readonly first_dead_at: number
  readonly last_dead_at: number
}

export interface DeadLetterPageRequest {
  readonly filter: Filter
  readonly isOldestFirst: boolean
  /** The letters after this place (time and id) are listed, in the requested order. */
  readonly start: { readonly micros: number; readonly id: Uint8Array }
  readonly limit: number
}

export class DeadLetterTable {
  readonly #database: DatabaseSync
  readonly #insert: StatementSync
  readonly #read: StatementSync
  readonly #noteRedriven: StatementSync
  readonly #delete: StatementSync
  readonly #list = readSql('list-dead-letters')
  readonly #listOldest = readSql('list-oldest-dead-letters')
  readonly #count = readSql('count-dead-letters')
  readonly #group = readSql('group-dead-letters')

  constructor(database: DatabaseSync) {
    this.#database = database
    this.#insert = database.prepare(readSql('insert-dead-letter'))
    this.#read = database.prepare(readSql('read-dead-letter'))
    this.#noteRedriven = database.prepare(readSql('note-redriven'))
    this.#delete = database.prepare(readSql('delete-dead-letters'))
  }

  /** Stores all of them except those that SQLite rejects, which it returns; or, if it throws, none. */
  land(rows: readonly WholeDeadLetterRow[]): RefusedRow[] {
    const refused: RefusedRow[] = []
    this.#database.exec('BEGIN IMMEDIATE')
    try {
      for (const [index, row] of rows.entries()) {
        const refusal = this.#landOne(row)
        if (refusal !== null) refused.push({ index, databaseCode: String(refusal.errcode), message: refusal.message })
      }
      this.#database.exec('COMMIT')
      return refused
    } catch (thrown) {
      // After a full disk or a failed write SQLite has already rolled back.
      if (this.#database.isTransaction) this.#database.exec('ROLLBACK')
      throw thrown
    }
  }

  /** Returns why SQLite rejects the row. */
  #landOne(row: WholeDeadLetterRow): SqliteFailure | null {
    try {
      if (this.#insert.run(...columnsOf(row)).changes === 1) return null
    } catch (thrown) {
      return rowFailureOf(this.#database, thrown)
    }
    const [stored] = this.read([row.dead_letter_id])
    return stored !== undefined && stored.dead_at >= row.dead_at ? null : rowSkipped()
  }

  list({ filter, isOldestFirst, start, limit }: DeadLetterPageRequest): DeadLetterRow[] {
    const place = { placeMicros: start.micros, placeId: start.id, limit }
    return this.#find(isOldestFirst ? this.#listOldest : this.#list, filter, place) as DeadLetterRow[]
  }

  read(deadLetterIds: readonly Uint8Array[]): WholeDeadLetterRow[] {
    const rows: WholeDeadLetterRow[] = []
    let bytes = 0
    for (const deadLetterId of deadLetterIds) {
      if (bytes >= maxPageBytes) break
      const row = this.#read.get(deadLetterId) as unknown as WholeDeadLetterRow | undefined
      if (row === undefined) continue
      rows.push(row)
      bytes += row.event.length
    }
    return rows
  }

  count(filter: Filter): number {
    return (this.#find(this.#count, filter) as [{ dead_letters: number }])[0].dead_letters
  }

  group(filter: Filter): CauseRow[] {
    return this.#find(this.#group, filter, { limit: maxDeadLetterCauses }) as CauseRow[]
  }

  noteRedriven(deadLetterIds: readonly string[], atMicros: number): void {
    this.#noteRedriven.run(hexArray(deadLetterIds), atMicros)
  }

  delete(deadLetterIds: readonly string[]): number {
    return Number(this.#delete.run(hexArray(deadLetterIds)).changes)
  }

  /** Prepares the statement on each call: calls are rare, and there are many combinations of conditions. */
  #find(statement: string, filter: Filter, parameters: Record<string, SQLInputValue> = {}): unknown[] {
    const condition = conditionOf(filter)
    const prepared = this.#database.prepare(statement.replaceAll('{filter}', () => condition.sql))
    return prepared.all({ ...condition.parameters, ...parameters })
  }
}

/** In the order of insert-dead-letter.sql. */
function columnsOf(row: WholeDeadLetterRow): SQLInputValue[] {
  return [
    row.dead_letter_id,
    row.event_id,
    row.topic,
    row.group,
    row.type,
    row.source,
    row.code,
    row.message,
    row.attempts,
    row.first_failed_at,
    row.dead_at,
    row.event,
    row.history,
    row.redriven_at,
    row.redrives,
  ]
}
