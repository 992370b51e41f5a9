// Classifies SQLite errors by what the caller has to do.
//
// Result codes: https://www.sqlite.org/rescode.html. The primary code is the low byte of `errcode`.

/**
 * - `locked`: another connection has locked the database (5, 6). Retry, or refuse a second owner.
 * - `full`: no room on the disk (13, or a system error ENOSPC or EDQUOT). Rolled back; retry when there is room.
 * - `io`: a read, write or flush failed (10). Nothing may be acknowledged from now on.
 * - `damaged`: the file is not an intact database (11, 26), or not the expected one.
 * - `row`: the row itself is rejected (18 too big, 19 constraint, 20 mismatch).
 * - `memory`: out of memory (7). Retry.
 * - `other`: a bug in Millrace or an unforeseen state.
 */
export type SqliteFailureKind = 'locked' | 'full' | 'io' | 'damaged' | 'row' | 'memory' | 'other'

const kindOfPrimaryCode: Readonly<Record<number, SqliteFailureKind>> = {
  5: 'locked',
  6: 'locked',
  7: 'memory',
  10: 'io',
  11: 'damaged',
  13: 'full',
  18: 'row',
  19: 'row',
  20: 'row',
  26: 'damaged',
}

/** A classified failure. It crosses threads as a plain object (database-thread.ts). */
export class SqliteFailure extends Error {
  override readonly name = 'SqliteFailure'
  readonly kind: SqliteFailureKind
  /** SQLite's extended result code; 0 when the failure did not come from SQLite. */
  readonly errcode: number

  constructor(kind: SqliteFailureKind, message: string, errcode = 0, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause })
    this.kind = kind
    this.errcode = errcode
  }
}

/** Classifies an error of node:sqlite, of `fs` or of Millrace itself. */
export function toSqliteFailure(thrown: unknown): SqliteFailure {
  if (thrown instanceof SqliteFailure) return thrown
  const error = thrown instanceof Error ? thrown : new Error(String(thrown))
  const systemCode = (error as { code?: unknown }).code
  if (systemCode === 'ENOSPC' || systemCode === 'EDQUOT') return new SqliteFailure('full', error.message, 0, error)
  if (systemCode === 'EIO') return new SqliteFailure('io', error.message, 0, error)
  const errcode = (error as { errcode?: unknown }).errcode
  if (typeof errcode !== 'number') return new SqliteFailure('other', error.message, 0, error)
  return new SqliteFailure(kindOfPrimaryCode[errcode & 0xff] ?? 'other', error.message, errcode, error)
}
