// Remembers the first failed flush or write of a database, because SQLite does not.
//
// After a COMMIT whose flush failed, the next COMMIT succeeds as if nothing had happened, although the rows of the
// first are only in the page cache (docs/guarantees.md, G7). So nothing may be committed, acknowledged or read after
// the first failure.

import { type SqliteFailure, toSqliteFailure } from './failure.ts'

/** Runs work on a database until the first final failure. */
export class FlushLatch {
  #failure: SqliteFailure | null = null

  /** The first final failure, or null. */
  get failure(): SqliteFailure | null {
    return this.#failure
  }

  /**
   * Runs the work; throws a SqliteFailure. After a failure of kind `io` or `damaged` all later calls throw it again.
   */
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

/** Whether the database must not be used after this failure. */
export function isFinal(failure: SqliteFailure): boolean {
  return failure.kind === 'io' || failure.kind === 'damaged'
}
