import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { eventually, within } from '../../test/support/eventually.ts'
import { tempDirectory } from '../../test/support/temp-directory.ts'
import { encodeBatch } from '../event/record-batch.ts'
import { openEventLog } from '../event-log/open-event-log.ts'
import { createLogger } from '../telemetry/logger.ts'
import { createMetrics } from '../telemetry/metrics.ts'
import { DeadLetters, deadLetterTopic } from './dead-letters.ts'
import { defineHandler, type HandlerOptions } from './define-handler.ts'
import { HandlerPool } from './handler-pool.ts'

async function poolOf(t: TestContext, options: Omit<HandlerOptions, 'group'>) {
  const logger = createLogger({ level: 'fatal', version: '0' })
  const now = Date.now
  const eventLog = await openEventLog({ dataDir: tempDirectory(t), diskReserveBytes: 0 }, { logger, now })
  t.after(() => eventLog.close())
  const metrics = createMetrics()
  t.after(() => metrics.close())
  const declare = () => eventLog.declare('events', { partitions: 1, groups: [{ name: 'mailer' }] })
  await declare()
  await eventLog.declare(deadLetterTopic, { partitions: 1, groups: [] })
  const start = async () => {
    const pool = new HandlerPool({
      handler: defineHandler({ group: 'mailer', ...options }),
      ...{ eventLog, declare, logger, metrics, now, leaseMs: 30_000, concurrency: 2, maxAttempts: 3 },
      ...{ monotonicNow: () => performance.now(), random: Math.random },
      deadLetters: new DeadLetters({ eventLog, now }),
    })
    await pool.start()
    return pool
  }
  const publish = async (...ids: readonly string[]) => {
    const bytes = encodeBatch(ids.map((id) => ({ id, type: 'a' })))
    await eventLog.append({ topic: 'events', partition: 0, lane: 'normal' }, [
      { bytes, count: ids.length, receivedAtMicros: now() * 1000 },
    ])
  }
  const waiting = async () => (await eventLog.describe()).topics[0]!.groups[0]!.waiting
  return { start, publish, waiting }
}

test('a stop lets what has begun finish, and returns the rest without a lost attempt', async (t) => {
  const begun: [string, number][] = []
  const gate = Promise.withResolvers<void>()
  const { start, publish, waiting } = await poolOf(t, {
    handle: async ({ id }, { attempt }) => {
      begun.push([id, attempt])
      await gate.promise
    },
  })
  const first = await start()
  await publish('a', 'b', 'c', 'd')
  await publish('e')
  await eventually(() => assert.equal(begun.length, 2))
  const closed = first.close(5000)
  gate.resolve()
  await within(2000, 'the stop', closed)
  assert.equal(begun.length, 2)

  const second = await start()
  await eventually(async () => assert.equal(await waiting(), 0))
  await second.close(1000)
  assert.deepEqual(
    begun.toSorted(),
    ['a', 'b', 'c', 'd', 'e'].map((id) => [id, 1]),
  )
})

test('at the end of the drain time the signal says so, and the event keeps its attempt', async (t) => {
  const seen: unknown[] = []
  const { start, publish, waiting } = await poolOf(t, {
    handle: (_, { attempt, signal }) => {
      seen.push(attempt)
      if (seen.length > 1) return undefined
      return new Promise((resolve) =>
        signal.addEventListener('abort', () => {
          seen.push(signal.reason)
          resolve(undefined)
        }),
      )
    },
  })
  const first = await start()
  await publish('a')
  await eventually(() => assert.equal(seen.length, 1))
  await within(2000, 'the stop', first.close(600))
  assert.equal(await waiting(), 1)

  const second = await start()
  await eventually(async () => assert.equal(await waiting(), 0))
  await second.close(1000)
  assert.deepEqual(seen, [1, 'shutdown', 1])
})
