// Watches store.db from outside while the server lands rows.

import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync, type StatementSync } from 'node:sqlite'
import { setTimeout as sleep } from 'node:timers/promises'

const pollMs = 5
const giveUpAfterMs = 30_000

export class LandedRows {
  readonly #database: DatabaseSync
  readonly #highest: StatementSync

  /** The server must have created the database. */
  constructor(dataDir: string) {
    const path = join(dataDir, 'store.db')
    if (!existsSync(path)) throw new Error(`${path} is missing`)
    this.#database = new DatabaseSync(path, { readOnly: true, timeout: 5000 })
    // Rows are never deleted, so the highest rowid is their count. count(*) would read the whole table.
    this.#highest = this.#database.prepare('SELECT coalesce(max(rowid), 0) AS rows FROM events')
  }

  get count(): number {
    return Number(this.#highest.get()?.rows)
  }

  /** Resolves with the count of rows when it reaches `rows`. Rejects after 30 s without progress. */
  async reach(rows: number): Promise<number> {
    let last = -1
    let lastChangeMs = performance.now()
    for (;;) {
      const count = this.count
      if (count >= rows) return count
      const nowMs = performance.now()
      if (count !== last) {
        last = count
        lastChangeMs = nowMs
      } else if (nowMs - lastChangeMs > giveUpAfterMs) {
        throw new Error(`landing made no progress for 30 s, at ${count} of ${rows} rows`)
      }
      await sleep(pollMs)
    }
  }

  close(): void {
    this.#database.close()
  }
}
