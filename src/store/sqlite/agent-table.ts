// The table of agents, in the thread that owns the file. Every method is one statement or one transaction and must run
// inside the flush latch.

import type { DatabaseSync, StatementSync } from 'node:sqlite'
import { type AgentQuery, pageOfAgents, type RefusedRow, type StoredAgent, type StoredAgents } from '../event-store.ts'
import { rowFailureOf } from './row-failure.ts'
import { readSql } from './sql-file.ts'

export class AgentTable {
  readonly #database: DatabaseSync
  readonly #upsert: StatementSync
  readonly #list: StatementSync

  constructor(database: DatabaseSync) {
    this.#database = database
    this.#upsert = database.prepare(readSql('upsert-agent'))
    this.#list = database.prepare(readSql('list-agents'))
  }

  /** Stores all of them except those that SQLite rejects, which it returns; or, if it throws, none. */
  upsert(agents: readonly StoredAgent[]): RefusedRow[] {
    const refused: RefusedRow[] = []
    this.#database.exec('BEGIN IMMEDIATE')
    try {
      for (const [index, { agentId, lastSeenMicros, metadata }] of agents.entries()) {
        try {
          this.#upsert.run(agentId, lastSeenMicros, metadata)
        } catch (thrown) {
          const { errcode, message } = rowFailureOf(this.#database, thrown)
          refused.push({ index, databaseCode: String(errcode), message })
        }
      }
      this.#database.exec('COMMIT')
      return refused
    } catch (thrown) {
      // After a full disk or a failed write SQLite has already rolled back.
      if (this.#database.isTransaction) this.#database.exec('ROLLBACK')
      throw thrown
    }
  }

  list({ from, limit }: AgentQuery): StoredAgents {
    return pageOfAgents(this.#list.iterate(from, limit + 1) as Iterable<unknown> as Iterable<StoredAgent>, limit)
  }
}
