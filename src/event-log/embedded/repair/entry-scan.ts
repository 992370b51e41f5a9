// Reads the entries of a damaged log.db that can still be reached, skipping pages that cannot be read.

import type { DatabaseSync, StatementSync } from 'node:sqlite'
import { EntryChecksum } from '../file/entry-checksum.ts'
import { sqlFile } from '../file/sql-file.ts'

export interface ScannedEntry {
  readonly appendNumber: number
  readonly stream: number
  readonly firstOffset: number
  readonly count: number
  readonly startByte: number
  readonly receivedAtMicros: number
  /** -1 where there is none, as for the next two. */
  readonly attempt: number
  readonly dueAtMs: number
  readonly originOffset: number
  readonly crc: number
  readonly bytes: Uint8Array
  /** Whether it matches its checksum. */
  readonly isSound: boolean
}

type ScannedColumns = [number, number, number, number, number, number, number, number, number, number, unknown]

/** How many entries are read at once. */
const batchSize = 64

/** Yields the entries in the order of their append numbers, up to `lastAppendNumber`. */
export function* scanEntries(database: DatabaseSync, lastAppendNumber: number): Generator<ScannedEntry> {
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
    for (const row of rows) yield toEntry(row, checksum)
    behind = rows[rows.length - 1]![0]
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
function tryRead(statement: StatementSync, behind: number, limit: number): ScannedColumns[] | null {
  try {
    const found = statement.all(behind, limit) as unknown as ScannedColumns[]
    // A partly zeroed page returns rows with append number 0 for any query.
    const rows = found.filter(([appendNumber]) => appendNumber > behind)
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

function toEntry(row: ScannedColumns, checksum: EntryChecksum): ScannedEntry {
  const [appendNumber, stream, firstOffset, count, startByte, receivedAtMicros, attempt, dueAtMs, originOffset] = row
  const [crc, blob] = [row[9], row[10]]
  const bytes = blob instanceof Uint8Array ? blob : new Uint8Array(0)
  const isSound = blob instanceof Uint8Array && checksum.of(row.slice(0, 9) as number[], bytes) === crc
  return {
    ...{ appendNumber, stream, firstOffset, count, startByte, receivedAtMicros, attempt, dueAtMs, originOffset },
    ...{ crc, bytes, isSound },
  }
}
