// AgentService: heartbeats and the list of agents.
//
// The metadata of an agent is JSON text here and a Struct on the wire, whose numbers are doubles.

import type { JsonObject } from '@bufbuild/protobuf'
import type { ServerUnaryCall, sendUnaryData, UntypedServiceImplementation } from '@grpc/grpc-js'
import { MillraceError, toMillraceError } from '../../errors.ts'
import {
  type HeartbeatRequest,
  type ListAgentsRequest,
  ListAgentsResponseSchema,
} from '../../gen/millrace/v1/agent_pb.ts'
import { microsOf, timestampOf } from '../../lib/timestamp.ts'
import type { Agents } from '../../pipeline/agents.ts'
import { richStatusOf } from './rich-status.ts'
import { unary } from './unary.ts'

const defaultLimit = 100

/** A HeartbeatResponse, which has no fields. */
const emptyResponse = Buffer.alloc(0)

export function agentHandlers(agents: Agents): UntypedServiceImplementation {
  return {
    heartbeat: (call: ServerUnaryCall<HeartbeatRequest, Buffer>, callback: sendUnaryData<Buffer>): void => {
      const { agentId, time, metadata } = call.request
      const [traceparent] = call.metadata.get('traceparent')
      const fail = (error: unknown) => callback(richStatusOf(toMillraceError(error)))
      try {
        agents
          .heartbeat({
            agentId,
            timeMicros: time === undefined ? null : microsOf(time),
            metadata: metadata === undefined ? '' : textOfStruct(metadata),
            traceparent: traceparent?.toString(),
          })
          .then(() => callback(null, emptyResponse), fail)
      } catch (error) {
        fail(error)
      }
    },
    listAgents: unary(ListAgentsResponseSchema, async ({ limit, cursor }: ListAgentsRequest) => {
      const page = await agents.listAgents({ limit: limit || defaultLimit, cursor: cursor || null })
      return {
        agents: page.agents.map(({ agentId, lastSeenMicros, online, metadata }) => ({
          ...{ agentId, online, lastSeen: timestampOf(lastSeenMicros), metadata: JSON.parse(metadata) },
        })),
        nextCursor: page.nextCursor ?? '',
      }
    }),
  }
}

/** Throws `invalid_event` for a number that JSON does not have, and writes as null. */
function textOfStruct(metadata: JsonObject): string {
  const text = JSON.stringify(metadata)
  if (!text.includes('null')) return text
  return JSON.stringify(metadata, (name, value: unknown) => {
    if (typeof value !== 'number' || Number.isFinite(value)) return value
    const problem = `metadata has ${value} under ${JSON.stringify(name.slice(0, 80))}, which is no number of JSON`
    throw new MillraceError('invalid_event', problem, { field: 'metadata' })
  })
}
