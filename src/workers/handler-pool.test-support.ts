// A pool of a handler on an embedded log.

import type { TestContext } from 'node:test'
import { tempDirectory } from '../../test/support/temp-directory.ts'
import { MillraceError } from '../errors.ts'
import { decodeBatch, type EventParts, encodeBatch } from '../event/record-batch.ts'
import type { EventLog } from '../event-log/event-log.ts'
import { openEventLog } from '../event-log/open-event-log.ts'
import { Ingest } from '../ingest/ingest.ts'
import { createLogger } from '../telemetry/logger.ts'
import { createMetrics } from '../telemetry/metrics.ts'
import { AttemptGate } from './attempt-gate.ts'
import { DeadLetters, deadLetterTopic } from './dead-letters.ts'
import {
  type BatchHandlerOptions,
  defineHandler,
  type HandlerDefinition,
  type HandlerOptions,
} from './define-handler.ts'
import { DeliveryTimes } from './delivery-times.ts'
import { HandlerPool } from './handler-pool.ts'
import { LoopWatch } from './loop-watch.ts'
import { publishAllOrNone } from './publish-events.ts'

const group = 'mailer'
const stream = { topic: 'events', partition: 0, lane: 'normal' } as const

export function poolOf(t: TestContext, options: Omit<HandlerOptions, 'group'>) {
  return poolFor(t, defineHandler({ group, ...options }))
}

export function batchPoolOf(t: TestContext, options: Omit<BatchHandlerOptions, 'group'>) {
  return poolFor(t, defineHandler({ group, ...options }))
}

async function poolFor(t: TestContext, handler: HandlerDefinition) {
  const logger = createLogger({ level: 'fatal', version: '0' })
  const now = Date.now
  const monotonicNow = () => performance.now()
  const log = await openEventLog({ dataDir: tempDirectory(t), diskReserveBytes: 0 }, { logger, now })
  t.after(() => log.close())
  let [fails, settled, reads] = [false, 0, 0]
  const eventLog: EventLog = {
    ...bound(log),
    append: (stream, batches, appendOptions) => {
      if (fails && stream.topic === deadLetterTopic) return Promise.reject(new MillraceError('disk_full', 'it is full'))
      return log.append(stream, batches, appendOptions)
    },
    consume: async (...call) => {
      const consumer = await log.consume(...call)
      return {
        next: (bounds) => {
          reads++
          return consumer.next(bounds)
        },
        settle: (outcomes) => {
          settled++
          return consumer.settle(outcomes)
        },
        close: () => consumer.close(),
      }
    },
  }
  const deliveryTimes = new DeliveryTimes(now)
  const metrics = createMetrics()
  t.after(() => metrics.close())
  const ordered = handler.ordered || handler.limits.limitPerKey !== undefined
  const declare = () => eventLog.declare('events', { partitions: 1, groups: [{ name: group, ordered }] })
  await declare()
  await eventLog.declare(deadLetterTopic, { partitions: 1, groups: [] })
  const topics = [{ name: 'events', partitions: 1, partitionBy: 'key' as const }]
  const ingest = new Ingest({
    ...{ eventLog, durability: 'disk', topics, maxWaiting: null, metrics, now, monotonicNow },
  })
  const start = async () => {
    const pool = new HandlerPool({
      ...{ handler, eventLog, declare, logger, metrics, now, leaseMs: 30_000, filesDir: '' },
      ...{ concurrency: () => handler.concurrency ?? 2, maxAttempts: handler.maxAttempts ?? 3 },
      ...{ monotonicNow, random: Math.random, loopWatch: new LoopWatch({ logger, metrics, monotonicNow }) },
      deadLetters: new DeadLetters({ eventLog, now }),
      gate: new AttemptGate(),
      publish: publishAllOrNone((message) => ingest.publish(message)),
      deliveryTimes,
    })
    await pool.start()
    t.after(() => pool.close(0))
    return pool
  }
  const publishEvents = async (events: readonly EventParts[]) => {
    const batch = { bytes: encodeBatch(events), count: events.length, receivedAtMicros: now() * 1000 }
    await eventLog.append(stream, [batch])
  }
  const publish = (...ids: readonly string[]) => publishEvents(ids.map((id) => ({ id, type: id.split(' ')[0]! })))
  const description = async () => (await log.describe()).topics.find(({ name }) => name === 'events')?.groups[0]
  return {
    ...{ start, publish, publishEvents, deliveryTimes },
    heldKeys: () => log.heldKeys(stream, group),
    release: (key: string, attempt: number | null) => log.release(stream, group, key, attempt),
    permits: () => log.permits('events', group, handler.limits, { leaseMs: 30_000 }),
    waiting: async () => (await description())?.waiting,
    inFlight: async () => (await description())?.inFlight,
    settles: () => settled,
    reads: () => reads,
    deleteGroup: () => log.dropGroup('events', group),
    failDeadLetters: (isFailing: boolean) => {
      fails = isFailing
    },
    deadLetters: async () => {
      await log.declare(deadLetterTopic, { partitions: 1, groups: [{ name: 'reader' }] })
      const consumer = await log.consume(deadLetterTopic, 'reader', { leaseMs: 1000 })
      const found = await consumer.next({ maxEvents: { high: 0, normal: 100, low: 0 }, maxWaitMs: 0 })
      return found.flatMap(({ batch }) => decodeBatch(batch.bytes))
    },
  }
}

/** The methods of a log, which the pool may call without it. */
function bound(log: EventLog): EventLog {
  const names = Object.getOwnPropertyNames(Object.getPrototypeOf(log)).filter((name) => name !== 'failed')
  const methods = names.map((name) => {
    const method = (log as unknown as Record<string, unknown>)[name]
    return [name, typeof method === 'function' ? method.bind(log) : method]
  })
  return { ...Object.fromEntries(methods), failed: log.failed }
}
