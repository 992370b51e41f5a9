// Agents: processes that say that they live. Part of the Pipeline contract (pipeline.ts).

import type { Micros } from '../lib/timestamp.ts'

export interface Heartbeat {
  readonly agentId: string
  /** When the agent sent it, in microseconds since 1970; null: now. */
  readonly timeMicros: Micros | null
  /** A JSON object, as its text, at most 16 KiB. '' for none. */
  readonly metadata: string
  /** Names the trace that the heartbeat belongs to (https://www.w3.org/TR/trace-context); kept as an attribute of its event. */
  readonly traceparent?: string | undefined
}

export interface Agent {
  readonly agentId: string
  /** When a server received its last heartbeat, in microseconds since 1970. */
  readonly lastSeenMicros: number
  /** Whether that is no longer ago than MILLRACE_AGENT_OFFLINE_MS, by the clock of the server that answers. */
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
   * Publishes a heartbeat as an event. Resolves when it is as durable as an accepted event; it waits for no worker, and the
   * agent is listed some time later. Errors: `invalid_event` (names the field), `backlogged`, `disk_full`, and those of
   * `publish`. A heartbeat has no id of the caller's: after an error with `outcomeUnknown` send another one.
   */
  heartbeat(heartbeat: Heartbeat): Promise<void>

  /**
   * Lists the agents that have sent heartbeats, by the bytes of their ids. A page ends before its limit where the metadata
   * reaches 1 MiB. Errors: `invalid_event` (a bad limit or cursor), `unavailable` (the database is unreachable).
   * @param query.limit 1 to 1,000.
   */
  listAgents(query: { readonly limit: number; readonly cursor: string | null }): Promise<AgentPage>

  /** Returns one agent. Errors: `not_found`, `invalid_event` (no id of an agent), `unavailable`. */
  agent(agentId: string): Promise<Agent>
}
