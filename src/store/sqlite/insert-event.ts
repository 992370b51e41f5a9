// Inserts the rows of events, or compares an event with the row that already exists.

import type { DatabaseSync, SQLInputValue, StatementSync } from 'node:sqlite'
import { SqliteFailure } from '../../lib/sqlite/failure.ts'
import type { EventRow } from './event-row.ts'
import { rowFailureOf, rowSkipped } from './row-failure.ts'
import { readSql } from './sql-file.ts'

/** Number of rows of insert-event-group.sql. */
export const groupRows = 16
const columnCount = 16

/** `conflict`: a duplicate whose content differs from the existing row. */
export type Inserted = 'landed' | 'duplicate' | 'conflict'

/** A trigger has skipped rows of a group, and it is unknown which: the transaction must be repeated without groups. */
export class GroupSkipped extends Error {}

/** SQLITE_CONSTRAINT_PRIMARYKEY. */
const keyTakenCode = 1555

export class EventInserter {
  /** Rowid of the row that landed last. */
  lastRowid = 0
  readonly #database: DatabaseSync
  readonly #insert: StatementSync
  readonly #insertGroup: StatementSync
  readonly #compare: StatementSync
  readonly #row: SQLInputValue[] = new Array(columnCount).fill(null)
  readonly #group: SQLInputValue[] = new Array(columnCount * groupRows).fill(null)

  constructor(database: DatabaseSync) {
    this.#database = database
    this.#insert = database.prepare(readSql('insert-event'))
    this.#insertGroup = database.prepare(readSql('insert-event-group'))
    this.#compare = database.prepare(readSql('compare-event'))
  }

  /**
   * Inserts `groupRows` rows. Returns false if SQLite rejects one of them; then none is inserted. Throws GroupSkipped if
   * a trigger skips one of them.
   */
  insertGroup(rows: readonly EventRow[]): boolean {
    for (let index = 0; index < groupRows; index++) writeColumns(rows[index]!, this.#group, index * columnCount)
    let changes: number | bigint
    try {
      const result = this.#insertGroup.run(...this.#group)
      this.lastRowid = result.lastInsertRowid as number
      changes = result.changes
    } catch (thrown) {
      rowFailureOf(this.#database, thrown)
      return false
    }
    if (changes !== groupRows) throw new GroupSkipped()
    return true
  }

  /** Inserts one row. Throws a SqliteFailure of kind `row` if SQLite rejects it; the transaction stays open. */
  insert(row: EventRow): Inserted {
    try {
      const outcome = this.#tryInsert(row)
      if (outcome !== 'other source') return outcome
      const secondOutcome = row.takeSecondKey() ? this.#tryInsert(row) : outcome
      if (secondOutcome !== 'other source') return secondOutcome
    } catch (thrown) {
      throw rowFailureOf(this.#database, thrown)
    }
    // Only with a deliberately chosen id: another source uses this event's UUIDv5 as its id. The event must not count
    // as a duplicate, because it has no row.
    throw new SqliteFailure('row', `the row keys of event ${row.id} belong to events of other sources`, keyTakenCode)
  }

  #tryInsert(row: EventRow): Inserted | 'other source' {
    writeColumns(row, this.#row, 0)
    const { changes, lastInsertRowid } = this.#insert.run(...this.#row)
    if (changes !== 1) return this.#compareWithStored(row)
    this.lastRowid = lastInsertRowid as number
    return 'landed'
  }

  #compareWithStored(row: EventRow): Inserted | 'other source' {
    const { eventId, source, type, subject, time, key, data, dataBytes, dataContentType } = row
    const found = this.#compare.get(eventId, source, type, subject, time, key, data, dataBytes, dataContentType)
    if (found === undefined) throw rowSkipped()
    if (found.same_source !== 1) return 'other source'
    return found.same_content === 1 ? 'duplicate' : 'conflict'
  }
}

/** In the order of insert-event.sql. */
function writeColumns(row: EventRow, columns: SQLInputValue[], at: number): void {
  columns[at] = row.eventId
  columns[at + 1] = row.id
  columns[at + 2] = row.source
  columns[at + 3] = row.type
  columns[at + 4] = row.subject
  columns[at + 5] = row.time ?? row.receivedAtMicros
  columns[at + 6] = row.receivedAtMicros
  columns[at + 7] = row.topic
  columns[at + 8] = row.priority
  columns[at + 9] = row.key
  columns[at + 10] = row.data
  columns[at + 11] = row.dataBytes
  columns[at + 12] = row.dataContentType
  columns[at + 13] = row.attributes
  columns[at + 14] = row.stream
  columns[at + 15] = row.logOffset
}
