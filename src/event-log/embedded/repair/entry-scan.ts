// Reads the entries of a damaged log.db that can still be reached, skipping pages that cannot be read.

import type { DatabaseSync, StatementSync } from 'node:sqlite'
import { EntryChecksum, type EntryColumns, type StoredEntry } from '../file/entry-checksum.ts'
import { sqlFile } from '../file/sql-file.ts'

/** How many entries are read at once. */
const batchSize = 64

/** Yields the entries in the order of their append numbers, up to `lastAppendNumber`. */
export function* scanEntries(database: DatabaseSync, lastAppendNumber: number): Generator<StoredEntry> {
  const statement = prepareScan(database)
  if (statement === null) return
  const checksum = new EntryChecksum()
  let behind = 0
  while (behind < lastAppendNumber) {
    const rows = tryRead(statement, behind, batchSize) ?? tryRead(statement, behind, 1)
    if (rows === null) {
      behind = skipUnreadable(statement, behind, lastAppendNumber)
      continue
    }
    if (rows.length === 0) return
    for (const row of rows) yield checksum.read(row)
    behind = rows.at(-1)![0] as number
  }
}

/** Null when the database has no such table, or its schema page cannot be read. */
function prepareScan(database: DatabaseSync): StatementSync | null {
  try {
    const statement = database.prepare(sqlFile('scan-entries'))
    statement.setReturnArrays(true)
    return statement
  } catch {
    return null
  }
}

/** Null when there are rows that cannot be read, whatever the kind of damage. */
function tryRead(statement: StatementSync, behind: number, limit: number): EntryColumns[] | null {
  try {
    const found = statement.all(behind, limit) as unknown as EntryColumns[]
    // A partly zeroed page returns rows with append number 0 for any query.
    const rows = found.filter(([appendNumber]) => (appendNumber as number) > behind)
    return rows.length === 0 && found.length > 0 ? null : rows
  } catch {
    return null
  }
}

/** Where to continue after unreadable entries: doubles the step until an entry is readable, then bisects back. */
function skipUnreadable(statement: StatementSync, behind: number, last: number): number {
  let leap = 1
  while (behind + leap < last && tryRead(statement, behind + leap, 1) === null) leap *= 2
  let low = behind + Math.floor(leap / 2)
  let high = Math.min(behind + leap, last)
  while (low + 1 < high) {
    const middle = Math.floor((low + high) / 2)
    if (tryRead(statement, middle, 1) === null) low = middle
    else high = middle
  }
  return high
}
