// What a program says of an agent, and what it reads: metadata is an object here.

import { MillraceError } from '../errors.ts'
import type { Micros } from '../lib/timestamp.ts'
import type { Agent, AgentPage, Heartbeat } from '../pipeline/agents.ts'

export interface HeartbeatInput {
  /** 1 to 255 bytes without control characters. */
  readonly agentId: string
  /** What the agent says of itself: an object with a JSON form, at most 16 KiB. Default `{}`. */
  readonly metadata?: object
  /** When the agent sent it, in microseconds since 1970. Default: when the server receives it. */
  readonly timeMicros?: Micros
}

export interface ListedAgent extends Omit<Agent, 'metadata'> {
  readonly metadata: object
}

export interface ListedAgents {
  /** By the bytes of their ids. */
  readonly agents: readonly ListedAgent[]
  /** Null at the end. */
  readonly nextCursor: string | null
}

/** Throws `invalid_event` for metadata without a JSON form. */
export function heartbeatOf({ agentId, metadata, timeMicros }: HeartbeatInput): Omit<Heartbeat, 'traceparent'> {
  return { agentId, timeMicros: timeMicros ?? null, metadata: metadata === undefined ? '' : jsonObjectText(metadata) }
}

function jsonObjectText(metadata: object): string {
  const refuse = (problem: string, cause?: unknown) =>
    new MillraceError('invalid_event', `metadata ${problem}`, { field: 'metadata', cause })
  let text: string
  try {
    // The way of JSON.stringify, so that a Date becomes its text.
    text = JSON.stringify(metadata) ?? 'null'
  } catch (cause) {
    throw refuse(`has no JSON form: ${(cause as Error).message}`, cause)
  }
  if (!text.startsWith('{')) throw refuse('must be an object')
  return text
}

export function listedAgents({ agents, nextCursor }: AgentPage): ListedAgents {
  return {
    agents: agents.map(({ metadata, ...agent }) => ({ ...agent, metadata: JSON.parse(metadata || '{}') })),
    nextCursor,
  }
}
