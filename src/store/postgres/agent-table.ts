// The table of agents. Every method rejects with the driver's error.

import type { Pool } from 'pg'
import { type AgentQuery, pageOfAgents, type RefusedRow, type StoredAgent, type StoredAgents } from '../event-store.ts'
import { readSql } from './sql-file.ts'
import type { FailureKinds } from './sqlstate.ts'

export class AgentTable {
  readonly #landing: Pool
  readonly #reading: Pool
  readonly #failures: FailureKinds
  readonly #upsert = readSql('upsert-agents')
  readonly #list = readSql('list-agents')

  /** @param failures what the server's errors mean. */
  constructor(landing: Pool, reading: Pool, failures: FailureKinds) {
    this.#landing = landing
    this.#reading = reading
    this.#failures = failures
  }

  /** If the server rejects a row, each is a transaction of its own. Returns those that it rejects then. */
  async upsert(agents: readonly StoredAgent[]): Promise<RefusedRow[]> {
    if ((await this.#try(agents)) === null) return []
    const refused: RefusedRow[] = []
    for (const [index, agent] of agents.entries()) {
      const refusal = await this.#try([agent])
      if (refusal !== null) refused.push({ index, ...refusal })
    }
    return refused
  }

  async list({ from, limit }: AgentQuery): Promise<StoredAgents> {
    const { rows } = await this.#reading.query<StoredAgent>(this.#list, [from, limit + 1])
    // node-postgres returns bigint columns as strings.
    const agents = rows.map((row) => ({ ...row, lastSeenMicros: Number(row.lastSeenMicros) }))
    return pageOfAgents(agents, limit)
  }

  /** Returns why the server rejects a row of these. */
  async #try(agents: readonly StoredAgent[]): Promise<Omit<RefusedRow, 'index'> | null> {
    if (agents.length === 0) return null
    const columns = [
      agents.map(({ agentId }) => agentId),
      agents.map(({ lastSeenMicros }) => lastSeenMicros),
      agents.map(({ metadata }) => metadata),
    ]
    try {
      await this.#landing.query(this.#upsert, columns)
      return null
    } catch (thrown) {
      if (!this.#failures.isRowFailure(thrown)) throw thrown
      return { databaseCode: thrown.code!, message: thrown.message }
    }
  }
}
