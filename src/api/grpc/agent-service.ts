// AgentService: heartbeats and the list of agents.

import type { ServerUnaryCall, sendUnaryData, UntypedServiceImplementation } from '@grpc/grpc-js'
import { toMillraceError } from '../../errors.ts'
import type { HeartbeatRequest } from '../../gen/millrace/v1/agent_pb.ts'
import type { Agents } from '../../pipeline/agents.ts'
import { agentRpcs as rpcs } from '../../wire/agents.ts'
import { richStatusOf } from './rich-status.ts'
import { unary } from './unary.ts'

/** A HeartbeatResponse, which has no fields. */
const emptyResponse = Buffer.alloc(0)

export function agentHandlers(agents: Agents): UntypedServiceImplementation {
  return {
    heartbeat: (call: ServerUnaryCall<HeartbeatRequest, Buffer>, callback: sendUnaryData<Buffer>): void => {
      const [traceparent] = call.metadata.get('traceparent')
      const fail = (error: unknown) => callback(richStatusOf(toMillraceError(error)))
      try {
        agents
          .heartbeat({ ...rpcs.heartbeat.request.ofMessage(call.request), traceparent: traceparent?.toString() })
          .then(() => callback(null, emptyResponse), fail)
      } catch (error) {
        fail(error)
      }
    },
    getAgent: unary(rpcs.getAgent, async ({ agentId }) => ({ agent: await agents.agent(agentId) })),
    listAgents: unary(rpcs.listAgents, (query) => agents.listAgents(query)),
  }
}
