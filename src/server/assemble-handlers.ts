// Handlers: the groups of this process's handlers, and the pool that runs each of them.

import type { TopicConfig } from '../config/config-table.ts'
import { durabilityOf } from '../event/durability.ts'
import type { EventLog } from '../event-log/event-log.ts'
import { Ingest } from '../ingest/ingest.ts'
import { AttemptGate } from '../workers/attempt-gate.ts'
import { DeadLetters } from '../workers/dead-letters.ts'
import type { HandlerDefinition } from '../workers/define-handler.ts'
import { HandlerPool } from '../workers/handler-pool.ts'
import { LoopWatch } from '../workers/loop-watch.ts'
import { publishAllOrNone } from '../workers/publish-events.ts'
import type { ServerContext } from './server-context.ts'

/** Creates the group of a handler if it does not exist. It starts at the oldest kept event. */
export async function declareHandler(
  eventLog: EventLog,
  { topic, group }: HandlerDefinition,
  topics: readonly TopicConfig[],
): Promise<void> {
  const { partitions } = topics.find(({ name }) => name === topic)!
  await eventLog.declare(topic, { partitions, groups: [{ name: group }] })
}

/** One pool for each handler, not started. */
export function assembleHandlers(
  context: ServerContext,
  eventLog: EventLog,
  handlers: readonly HandlerDefinition[],
): HandlerPool[] {
  const { config, logger, metrics, now, monotonicNow } = context
  const deadLetters = new DeadLetters({ eventLog, now })
  const gate = new AttemptGate()
  const loopWatch = new LoopWatch(context)
  const ingest = new Ingest({
    ...{ eventLog, metrics, now, monotonicNow, topics: config.topics, maxWaiting: null },
    durability: durabilityOf(config.durability),
  })
  const publish = publishAllOrNone((message) => ingest.publish(message))
  return handlers.map(
    (handler) =>
      new HandlerPool({
        ...{ eventLog, logger, metrics, now, monotonicNow, deadLetters, loopWatch, publish, handler },
        gate: handler.isolate ? new AttemptGate(gate) : gate,
        declare: () => declareHandler(eventLog, handler, config.topics),
        leaseMs: config.leaseMs,
        random: Math.random,
        concurrency: handler.concurrency ?? config.workerConcurrency,
        maxAttempts: handler.maxAttempts ?? config.maxAttempts,
      }),
  )
}
