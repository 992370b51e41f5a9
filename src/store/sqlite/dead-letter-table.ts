// The table of dead letters, in the thread that owns the file. Every method is one statement or one transaction, to be run
// inside the flush latch.

import type { DatabaseSync, SQLInputValue, StatementSync } from 'node:sqlite'
import { type DeadLetterFilter, maxDeadLetterCauses } from '../dead-letter.ts'
import { hexArray } from './hex-array.ts'
import { readSql } from './sql-file.ts'

/** A row of `dead_letters` without its event, as it is handed to the main thread. */
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
  readonly filter: DeadLetterFilter
  /** What is listed stands below this place: time and id. */
  readonly below: { readonly micros: number; readonly id: Uint8Array }
  readonly limit: number
}

export class DeadLetterTable {
  readonly #database: DatabaseSync
  readonly #insert: StatementSync
  readonly #list: StatementSync
  readonly #read: StatementSync
  readonly #count: StatementSync
  readonly #group: StatementSync
  readonly #noteRedriven: StatementSync
  readonly #delete: StatementSync

  constructor(database: DatabaseSync) {
    const filter = readSql('dead-letter-filter')
    const prepare = (name: string) => database.prepare(readSql(name).replace('{filter}', () => filter))
    this.#database = database
    this.#insert = prepare('insert-dead-letter')
    this.#list = prepare('list-dead-letters')
    this.#read = prepare('read-dead-letter')
    this.#count = prepare('count-dead-letters')
    this.#group = prepare('group-dead-letters')
    this.#noteRedriven = prepare('note-redriven')
    this.#delete = prepare('delete-dead-letters')
  }

  /** All of them or, when it throws, none. */
  land(rows: readonly WholeDeadLetterRow[]): void {
    this.#database.exec('BEGIN IMMEDIATE')
    try {
      for (const row of rows) this.#insert.run(...columnsOf(row))
      this.#database.exec('COMMIT')
    } catch (thrown) {
      // After a full disk or a failed write SQLite has rolled back by itself.
      if (this.#database.isTransaction) this.#database.exec('ROLLBACK')
      throw thrown
    }
  }

  list({ filter, below, limit }: DeadLetterPageRequest): DeadLetterRow[] {
    return this.#list.all(...conditionsOf(filter), below.micros, below.id, limit) as unknown as DeadLetterRow[]
  }

  read(deadLetterId: Uint8Array): WholeDeadLetterRow | null {
    return (this.#read.get(deadLetterId) as unknown as WholeDeadLetterRow | undefined) ?? null
  }

  count(filter: DeadLetterFilter): number {
    return this.#count.get(...conditionsOf(filter))!.dead_letters as number
  }

  group(filter: DeadLetterFilter): CauseRow[] {
    return this.#group.all(...conditionsOf(filter), maxDeadLetterCauses) as unknown as CauseRow[]
  }

  noteRedriven(deadLetterIds: readonly string[], atMicros: number): void {
    this.#noteRedriven.run(hexArray(deadLetterIds), atMicros)
  }

  delete(deadLetterIds: readonly string[]): number {
    return Number(this.#delete.run(hexArray(deadLetterIds)).changes)
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

/** In the order of dead-letter-filter.sql. */
function conditionsOf(filter: DeadLetterFilter): SQLInputValue[] {
  const { deadLetterIds, eventIds, topic, group, type, code, sinceMicros, untilMicros, isRedriven } = filter
  return [
    deadLetterIds === undefined ? null : hexArray(deadLetterIds),
    eventIds === undefined ? null : hexArray(eventIds),
    topic ?? null,
    group ?? null,
    type ?? null,
    code ?? null,
    sinceMicros ?? null,
    untilMicros ?? null,
    isRedriven === undefined ? null : Number(isRedriven),
  ]
}
