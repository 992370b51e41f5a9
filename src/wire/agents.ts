// AgentService: a row for each call. The metadata of an agent is JSON text in the domain and a Struct in a message, whose
// numbers are doubles.

import type { JsonObject } from '@bufbuild/protobuf'
import { MillraceError } from '../errors.ts'
import { AgentSchema, AgentService, HeartbeatRequestSchema } from '../gen/millrace/v1/agent_pb.ts'
import type { Agent, AgentPage, Heartbeat } from '../pipeline/agents.ts'
import { defaultLimit } from './administration.ts'
import { type Nothing, nothing, rpc } from './rpc.ts'
import { anyTime, by, flag, type Kind, list, object, orEmpty, orNull, shape, text, time } from './shape.ts'

/** Refuses a number that JSON does not have, and writes as null. '' is absent. */
const metadata: Kind<string> = {
  toWire: (value) => (value === '' ? undefined : JSON.parse(value)),
  ofWire: (wire: JsonObject | undefined) => (wire === undefined ? '' : textOf(wire)),
  toJson: (value) => JSON.parse(value || '{}'),
}

function textOf(struct: JsonObject): string {
  const json = JSON.stringify(struct)
  if (!json.includes('null')) return json
  return JSON.stringify(struct, (name, value: unknown) => {
    if (typeof value !== 'number' || Number.isFinite(value)) return value
    const problem = `metadata has ${value} under ${JSON.stringify(name.slice(0, 80))}, which is no number of JSON`
    throw new MillraceError('invalid_event', problem, { field: 'metadata' })
  })
}

export const agent = shape<Agent>(AgentSchema, { agentId: text, lastSeenMicros: time, online: flag, metadata })

type SentHeartbeat = Omit<Heartbeat, 'traceparent'>

/** Sent as text, and taken as either. */
const heartbeat = by<SentHeartbeat, SentHeartbeat & { readonly metadataJson: string }>(
  shape(HeartbeatRequestSchema, { agentId: text, timeMicros: orNull(anyTime), metadata, metadataJson: text }),
  (sent) => ({ ...sent, metadata: '', metadataJson: sent.metadata }),
  ({ metadataJson, ...sent }) => (metadataJson === '' ? sent : { ...sent, metadata: metadataJson }),
)

export const agentRpcs = {
  heartbeat: rpc<SentHeartbeat, Nothing>(AgentService.method.heartbeat, heartbeat, nothing),
  listAgents: rpc<{ readonly limit: number; readonly cursor: string | null }, AgentPage>(
    AgentService.method.listAgents,
    { limit: defaultLimit, cursor: orEmpty(text) },
    { agents: list(object(agent)), nextCursor: orEmpty(text) },
  ),
  getAgent: rpc<{ readonly agentId: string }, { readonly agent: Agent }>(
    AgentService.method.getAgent,
    { agentId: text },
    { agent: object(agent) },
  ),
}
