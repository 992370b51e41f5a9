// What an error of SQLite means for the one who has to act on it.
//
// Result codes: https://www.sqlite.org/rescode.html. The primary code is the low byte of `errcode`.

/**
 * - `locked`: somebody else has the database (5, 6). Try again, or refuse a second owner.
 * - `full`: no room on the disk (13, and 778 with ENOSPC or EDQUOT beneath). Rolled back; try again when there is room.
 * - `io`: a read, write or flush failed (10). Nothing may be acknowledged any more.
 * - `damaged`: the file is no sound database (11, 26), or not the one it was.
 * - `row`: the row itself is refused (18 too big, 19 constraint, 20 mismatch).
 * - `memory`: out of memory (7). Try again.
 * - `other`: a bug of ours or a state nobody thought of.
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

/** A failure with its meaning. Crosses threads as the plain object of `toPlain`. */
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

/** Names what was thrown by node:sqlite, by `fs` or by us. */
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
