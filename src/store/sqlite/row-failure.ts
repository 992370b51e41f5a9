// Failures that are about one row alone.

import type { DatabaseSync } from 'node:sqlite'
import { SqliteFailure, toSqliteFailure } from '../../lib/sqlite/failure.ts'

/** SQLITE_CONSTRAINT. */
const refusedCode = 19

/** Returns the failure if it is about one row alone; throws any other. */
export function rowFailureOf(database: DatabaseSync, thrown: unknown): SqliteFailure {
  const failure = toSqliteFailure(thrown)
  if (failure.kind !== 'row') throw failure
  // A trigger may roll back the whole transaction; if landing continued, each later row would be committed by itself.
  if (!database.isTransaction) throw new SqliteFailure('other', failure.message, failure.errcode, thrown)
  return failure
}

/** For a row that was not inserted, without an error. */
export function rowSkipped(): SqliteFailure {
  return new SqliteFailure('row', 'a trigger on the table skipped the row', refusedCode)
}
