// Heartbeats with a narrower key: they are events of a topic and a type of their own.

import { heartbeatTopic, heartbeatType } from '../event/heartbeat.ts'
import type { Agents } from '../pipeline/agents.ts'
import type { Grant } from '../pipeline/keys.ts'
import type { EventRate } from './event-rate.ts'
import { missing, missingTopic, refuseType, seesEvent } from './outside.ts'
import { tooFast } from './restricted-publish.ts'

export function restrictAgents(agents: Agents, grant: Grant, rate: EventRate | null): Agents {
  return {
    heartbeat: async (heartbeat) => {
      if (!grant.allowsTopic(heartbeatTopic)) throw missingTopic(heartbeatTopic)
      if (!grant.allowsType(heartbeatType)) throw refuseType(heartbeatType)
      const waitMs = rate?.take(1, 0) ?? 0
      if (waitMs > 0) throw tooFast(grant, waitMs)
      await agents.heartbeat(heartbeat)
    },
    listAgents: async (query) =>
      seesEvent(grant, { topic: heartbeatTopic, type: heartbeatType })
        ? await agents.listAgents(query)
        : { agents: [], nextCursor: null },
    agent: async (agentId) => {
      const none = missing(`agent ${JSON.stringify(agentId.slice(0, 80))}`)
      if (!seesEvent(grant, { topic: heartbeatTopic, type: heartbeatType })) throw none
      return await agents.agent(agentId)
    },
  }
}
