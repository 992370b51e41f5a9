// Landing: the groups that land events, dead letters and agents in their tables, and the worker pools that do it.

import type { TopicConfig } from '../config/config-table.ts'
import { heartbeatTopic } from '../event/heartbeat.ts'
import type { EventLog } from '../event-log/event-log.ts'
import { agentsGroup, createAgentLanding } from '../landing/land-agents.ts'
import { createDeadLetterLanding } from '../landing/land-dead-letters.ts'
import { createLanding, landingGroup } from '../landing/landing.ts'
import type { GroupName } from '../pipeline/administration.ts'
import type { EventStore } from '../store/event-store.ts'
import { DeadLetters, deadLetterGroup, deadLetterTopic } from '../workers/dead-letters.ts'
import { tracedTurns } from '../workers/traced-turns.ts'
import { WorkerPool } from '../workers/worker-pool.ts'
import type { ServerContext } from './server-context.ts'

/** One turn is being written to the database, one is being settled, one is being gathered. */
const landingTurns = 3

/** Small: each dead letter may hold an event of 1 MiB, and they are inserted one by one. */
const deadLetterTurnEvents = 100

/** The more heartbeats in a turn, the fewer commits and updates of one agent. */
const agentTurnEvents = 1000
const maxAgentTurnWaitMs = 1000

export interface LandingTopic {
  readonly topic: string
  readonly group: string
  readonly partitions: number
}

/** Every group that lands, with its topic: those of the configured topics, of the agents and of the dead letters. */
export function landingTopics(topics: readonly TopicConfig[]): LandingTopic[] {
  const configured = topics.map(({ name, partitions }) => ({ topic: name, group: landingGroup, partitions }))
  const agents = topics
    .filter(({ name }) => name === heartbeatTopic)
    .map(({ name, partitions }) => ({ topic: name, group: agentsGroup, partitions }))
  return [...configured, ...agents, { topic: deadLetterTopic, group: deadLetterGroup, partitions: 1 }]
}

/** Creates the topic and its group in the log if they do not exist. Errors: those of EventLog.declare. */
export async function declareLanding(eventLog: EventLog, { topic, group, partitions }: LandingTopic): Promise<void> {
  await eventLog.declare(topic, { partitions, groups: [{ name: group }] })
}

/** Whether a group lands events, agents or dead letters; any other is a handler's. */
export function isLandingGroup({ topic, group }: GroupName): boolean {
  const landsAgents = topic === heartbeatTopic && group === agentsGroup
  return group === landingGroup || landsAgents || topic === deadLetterTopic
}

/** The groups that the server declares at each start: they can be paused, not deleted. */
export function ownGroups(topics: readonly LandingTopic[]): GroupName[] {
  return topics.map(({ topic, group }) => ({ topic, group }))
}

export interface LandingParts {
  readonly eventLog: EventLog
  readonly store: EventStore
  readonly topics: readonly LandingTopic[]
}

/** One pool for each topic, not started. */
export function assembleLanding(context: ServerContext, { eventLog, store, topics }: LandingParts): WorkerPool[] {
  const { config, logger, metrics, tracer, now, monotonicNow } = context
  const deadLetters = new DeadLetters({ eventLog, now })
  const shared = {
    ...{ eventLog, logger, now, monotonicNow, random: Math.random },
    leaseMs: config.leaseMs,
    maxTurnWaitMs: config.landingMaxWaitMs,
  }
  const landEvents = {
    handler: createLanding({ store, deadLetters, metrics, logger, monotonicNow }),
    maxTurnEvents: config.landingMaxEvents,
    maxTurns: landingTurns,
  }
  const landAgents = {
    handler: createAgentLanding({ store, deadLetters, metrics }),
    maxTurnEvents: agentTurnEvents,
    maxTurnWaitMs: maxAgentTurnWaitMs,
    maxTurns: 1,
  }
  const landDeadLetters = {
    handler: createDeadLetterLanding({ store, now, random: Math.random }),
    maxTurnEvents: deadLetterTurnEvents,
    maxTurns: 1,
  }
  return topics.map((landing) => {
    const { topic, group } = landing
    const work = group === deadLetterGroup ? landDeadLetters : group === agentsGroup ? landAgents : landEvents
    const handler = tracedTurns(tracer, work.handler)
    return new WorkerPool({
      ...shared,
      ...work,
      handler,
      topic,
      group,
      declare: () => declareLanding(eventLog, landing),
    })
  })
}
