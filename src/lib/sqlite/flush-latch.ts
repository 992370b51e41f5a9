// Remembers the first failed flush or write of a database, for SQLite does not.
//
// After a COMMIT whose flush failed, the next COMMIT succeeds as if nothing had happened, though the rows of the first are
// only in the page cache (docs/guarantees.md, G7). So nothing may be committed, answered or shown after the first failure.

import { type SqliteFailure, toSqliteFailure } from './failure.ts'

/** Runs work on a database until the first failure from which there is no going on. */
export class FlushLatch {
  #failure: SqliteFailure | null = null

  /** The failure that ended the database, or null. */
  get failure(): SqliteFailure | null {
    return this.#failure
  }

  /** Runs the work; throws a SqliteFailure. One of kind `io` or `damaged` is thrown again by every later call. */
  run<T>(work: () => T): T {
    if (this.#failure !== null) throw this.#failure
    try {
      return work()
    } catch (thrown) {
      const failure = toSqliteFailure(thrown)
      if (isFinal(failure)) this.#failure = failure
      throw failure
    }
  }
}

/** Whether a database may not be used any more after this failure. */
export function isFinal(failure: SqliteFailure): boolean {
  return failure.kind === 'io' || failure.kind === 'damaged'
}
