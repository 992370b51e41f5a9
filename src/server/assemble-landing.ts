// Landing: the groups that land events and dead letters in their tables, and the worker pools that do it.

import type { TopicConfig } from '../config/config-table.ts'
import type { EventLog } from '../event-log/event-log.ts'
import { createDeadLetterLanding } from '../landing/land-dead-letters.ts'
import { createLanding, landingGroup } from '../landing/landing.ts'
import type { GroupName } from '../pipeline/administration.ts'
import type { EventStore } from '../store/event-store.ts'
import { DeadLetters, deadLetterGroup, deadLetterTopic } from '../workers/dead-letters.ts'
import { WorkerPool } from '../workers/worker-pool.ts'
import type { ServerContext } from './server-context.ts'

/** One turn is being written to the database, one is being settled, one is being gathered. */
const landingTurns = 3

/** Small: each dead letter may hold an event of 1 MiB, and they are inserted one by one. */
const deadLetterTurnEvents = 100

export interface LandingTopic {
  readonly topic: string
  readonly group: string
  readonly partitions: number
}

/** Every topic that lands, with its landing group: the configured topics and the topic of the dead letters. */
export function landingTopics(topics: readonly TopicConfig[]): LandingTopic[] {
  const configured = topics.map(({ name, partitions }) => ({ topic: name, group: landingGroup, partitions }))
  return [...configured, { topic: deadLetterTopic, group: deadLetterGroup, partitions: 1 }]
}

/** Creates the topic and its group in the log if they do not exist. Errors: those of EventLog.declare. */
export async function declareLanding(eventLog: EventLog, { topic, group, partitions }: LandingTopic): Promise<void> {
  await eventLog.declare(topic, { partitions, groups: [{ name: group }] })
}

/** Whether a group lands events or dead letters; any other is a handler's. */
export function isLandingGroup({ topic, group }: GroupName): boolean {
  return group === landingGroup || topic === deadLetterTopic
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
  const { config, logger, metrics, now, monotonicNow } = context
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
  const landDeadLetters = {
    handler: createDeadLetterLanding({ store, now, random: Math.random }),
    maxTurnEvents: deadLetterTurnEvents,
    maxTurns: 1,
  }
  return topics.map((landing) => {
    const { topic, group } = landing
    const work = group === deadLetterGroup ? landDeadLetters : landEvents
    return new WorkerPool({ ...shared, ...work, topic, group, declare: () => declareLanding(eventLog, landing) })
  })
}
