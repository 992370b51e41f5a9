// Agents: processes that say that they live. Part of the Pipeline contract (pipeline.ts).

export interface Heartbeat {
  readonly agentId: string
  /** When the agent sent it; null: now. */
  readonly timeMicros: number | null
  /** A JSON object, as its text. */
  readonly metadata: string
}

export interface Agent {
  readonly agentId: string
  /** When its last heartbeat was received. */
  readonly lastSeenMicros: number
  readonly online: boolean
  /** A JSON object, as its text. */
  readonly metadata: string
}

export interface AgentPage {
  /** By agent id. */
  readonly agents: readonly Agent[]
  /** Null at the end. */
  readonly nextCursor: string | null
}

export interface Agents {
  /**
   * Resolves when the heartbeat is as durable as an accepted event. Errors: `invalid_event` (names the field), and those
   * of `publish`.
   */
  heartbeat(heartbeat: Heartbeat): Promise<void>

  /** @param query.limit 1 to 1,000. Errors: `invalid_event` (a bad cursor), `unavailable` (the database is unreachable). */
  listAgents(query: { readonly limit: number; readonly cursor: string | null }): Promise<AgentPage>
}
