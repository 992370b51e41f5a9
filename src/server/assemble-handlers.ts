// Handlers: the groups of this process's handlers, and the pool that runs each of them, also for workers elsewhere.

import type { TopicConfig } from '../config/config-table.ts'
import { MillraceError } from '../errors.ts'
import { durabilityOf } from '../event/durability.ts'
import { maxRequestTypes, requestTypeOf } from '../event/request.ts'
import type { EventLog } from '../event-log/event-log.ts'
import { Ingest } from '../ingest/ingest.ts'
import { responding } from '../request-reply/responder.ts'
import type { Logger } from '../telemetry/logger.ts'
import { AttemptGate } from '../workers/attempt-gate.ts'
import { DeadLetters } from '../workers/dead-letters.ts'
import type { HandlerDefinition } from '../workers/define-handler.ts'
import type { DeliveryTimes } from '../workers/delivery-times.ts'
import { HandlerPool, type HandlerPoolOptions } from '../workers/handler-pool.ts'
import { LoopWatch } from '../workers/loop-watch.ts'
import { publishAllOrNone } from '../workers/publish-events.ts'
import { isLandingGroup } from './assemble-landing.ts'
import type { ServerContext } from './server-context.ts'

/** Creates the group of a handler if it does not exist. It starts at the oldest kept event. */
export async function declareHandler(
  eventLog: EventLog,
  { topic, group, ordered, limits, request }: HandlerDefinition,
  topics: readonly TopicConfig[],
): Promise<void> {
  if (request !== null) await refuseTooManyTypes(eventLog, topic)
  const partitions = topics.find(({ name }) => name === topic)?.partitions ?? 1
  // One process has the keys of a partition, so their events are counted there.
  await eventLog.declare(topic, {
    partitions,
    groups: [{ name: group, ordered: ordered || limits.limitPerKey !== undefined }],
  })
}

/** Each has a topic in the log for ever. */
async function refuseTooManyTypes(eventLog: EventLog, topic: string): Promise<void> {
  const known = (await eventLog.topics()).filter((name) => requestTypeOf(name) !== null)
  if (known.length < maxRequestTypes || known.includes(topic)) return
  const text = `requests of type ${requestTypeOf(topic)} would be one type more than the limit of ${maxRequestTypes}: use one of the types that are there`
  throw new MillraceError('failed_precondition', text, { field: 'request' })
}

/** Pauses the groups of all handlers in the log, also of those that other processes have; a pause keeps its reason. */
export async function pauseHandlers(eventLog: EventLog, logger: Logger): Promise<void> {
  const { topics } = await eventLog.describe()
  for (const { name: topic, groups } of topics) {
    for (const { name: group, flow } of groups) {
      if ((flow !== null && 'paused' in flow) || isLandingGroup({ topic, group })) continue
      await eventLog.setFlow(topic, group, { paused: 'started with --paused' })
      logger.info({ topic, group }, 'the group is paused: started with --paused')
    }
  }
}

/** Makes the pool of a handler, not started. @param remote how it is called, when its workers are other processes. */
export type MakePool = (
  handler: HandlerDefinition,
  remote?: Pick<HandlerPoolOptions, 'attemptsOf' | 'concurrency'>,
) => HandlerPool

export function assembleHandlers(context: ServerContext, eventLog: EventLog, deliveryTimes: DeliveryTimes): MakePool {
  const { config, logger, metrics, tracer, now, monotonicNow } = context
  const deadLetters = new DeadLetters({ eventLog, now })
  const gate = new AttemptGate()
  const loopWatch = new LoopWatch(context)
  const ingest = new Ingest({
    ...{ eventLog, metrics, tracer, now, monotonicNow, topics: config.topics, maxWaiting: null },
    durability: durabilityOf(config.durability),
  })
  const publish = publishAllOrNone((message) => ingest.publish(message))
  const responderParts = { metrics, now, replyTtlMs: config.replyTtlMs }
  return (handler, remote) =>
    new HandlerPool({
      ...{
        eventLog,
        logger,
        metrics,
        tracer,
        now,
        monotonicNow,
        deadLetters,
        loopWatch,
        publish,
        deliveryTimes,
        handler,
      },
      gate: handler.isolate || remote !== undefined ? new AttemptGate(gate) : gate,
      declare: () => declareHandler(eventLog, handler, config.topics),
      leaseMs: config.leaseMs,
      filesDir: config.filesDir,
      random: Math.random,
      concurrency: () => handler.concurrency ?? config.workerConcurrency,
      maxAttempts: handler.maxAttempts ?? config.maxAttempts,
      ...remote,
      ...(handler.request === null ? {} : responding(handler.topic, responderParts, remote?.attemptsOf)),
    })
}
