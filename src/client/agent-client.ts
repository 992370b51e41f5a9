// The calls of AgentService.

import { create, fromBinary, type JsonObject, toBinary } from '@bufbuild/protobuf'
import { MillraceError } from '../errors.ts'
import {
  HeartbeatRequestSchema,
  HeartbeatResponseSchema,
  ListAgentsRequestSchema,
  ListAgentsResponseSchema,
} from '../gen/millrace/v1/agent_pb.ts'
import { type Micros, microsOf, timestampOf } from '../lib/timestamp.ts'
import type { Agent } from '../pipeline/agents.ts'

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

export const heartbeatMethod = 'millrace.v1.AgentService/Heartbeat'
export const listAgentsMethod = 'millrace.v1.AgentService/ListAgents'

/** Throws `invalid_event` for metadata without a JSON form. */
export function encodeHeartbeat({ agentId, metadata, timeMicros }: HeartbeatInput): Buffer {
  const message = create(HeartbeatRequestSchema, {
    agentId,
    ...(timeMicros === undefined ? {} : { time: timestampOf(timeMicros) }),
    ...(metadata === undefined ? {} : { metadata: jsonObjectOf(metadata) }),
  })
  return Buffer.from(toBinary(HeartbeatRequestSchema, message))
}

function jsonObjectOf(metadata: object): JsonObject {
  const refuse = (problem: string, cause?: unknown) =>
    new MillraceError('invalid_event', `metadata ${problem}`, { field: 'metadata', cause })
  let value: unknown
  try {
    // The way of JSON.stringify, so that a Date becomes its text.
    value = JSON.parse(JSON.stringify(metadata) ?? 'null')
  } catch (cause) {
    throw refuse(`has no JSON form: ${(cause as Error).message}`, cause)
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw refuse('must be an object')
  return value as JsonObject
}

export function decodeHeartbeatAnswer(bytes: Buffer): void {
  fromBinary(HeartbeatResponseSchema, bytes)
}

export function encodeListAgents(limit: number, cursor: string | null): Buffer {
  const message = create(ListAgentsRequestSchema, { limit, cursor: cursor ?? '' })
  return Buffer.from(toBinary(ListAgentsRequestSchema, message))
}

export function decodeAgents(bytes: Buffer): ListedAgents {
  const { agents, nextCursor } = fromBinary(ListAgentsResponseSchema, bytes)
  return {
    agents: agents.map(({ agentId, lastSeen, online, metadata }) => ({
      ...{ agentId, online, metadata: metadata ?? {} },
      lastSeenMicros: lastSeen === undefined ? 0 : Number(microsOf(lastSeen)),
    })),
    nextCursor: nextCursor || null,
  }
}
