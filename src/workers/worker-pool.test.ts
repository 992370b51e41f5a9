import assert from 'node:assert/strict'
import { test } from 'node:test'
import { MillraceError } from '../errors.ts'
import type { Consumer, Delivery, EventLog } from '../event-log/event-log.ts'
import { createLogger } from '../telemetry/logger.ts'
import type { Handler } from './handler.ts'
import { WorkerPool } from './worker-pool.ts'

/** A log that hands out one delivery, and then nothing until the pool stops. */
function logOfOne(): { eventLog: EventLog; settled: Promise<void> } {
  const settled = Promise.withResolvers<void>()
  const position = { stream: { topic: 'events', partition: 0, lane: 'normal' }, epoch: 1, offset: 0 }
  const deliveries = [{ position, batch: { bytes: new Uint8Array(0), count: 1, receivedAtMicros: 0 } }]
  const consumer: Pick<Consumer, 'next' | 'settle' | 'close'> = {
    next: async ({ signal }) => {
      const found = deliveries.splice(0) as unknown as Delivery[]
      if (found.length === 0) await new Promise((resolve) => signal?.addEventListener('abort', resolve))
      return found
    },
    settle: async () => {
      settled.resolve()
      return []
    },
    close: async () => {},
  }
  return { eventLog: { consume: async () => consumer } as unknown as EventLog, settled: settled.promise }
}

test('a pause says what has failed, since when it has, and what the last try said', async () => {
  const { eventLog, settled } = logOfOne()
  const seen: (string | null)[] = []
  const failures = ['postgres is unreachable: 57P01: it stops', 'postgres is unreachable: ECONNREFUSED', 'it is full']
  let nowMs = Date.UTC(2026, 10, 21, 8, 40)
  const handler: Handler = async () => {
    seen.push(pool.paused)
    nowMs += 1000
    const failure = failures.shift()
    if (failure !== undefined) throw new MillraceError('unavailable', failure)
    return []
  }
  const pool = new WorkerPool({
    eventLog,
    topic: 'events',
    group: 'landing',
    handler,
    maxTurnEvents: 1,
    maxTurnWaitMs: 0,
    maxTurns: 1,
    leaseMs: 30_000,
    logger: createLogger({ level: 'fatal', version: '0' }),
    now: () => nowMs,
    monotonicNow: () => 0,
    random: () => 0,
  })
  await pool.start()
  await settled

  assert.deepEqual(seen, [
    null,
    'postgres is unreachable since 2026-11-21T08:40:01.000Z: 57P01: it stops',
    'postgres is unreachable since 2026-11-21T08:40:01.000Z: ECONNREFUSED',
    'it is full since 2026-11-21T08:40:01.000Z',
  ])
  assert.equal(pool.paused, null)
  await pool.close(1000)
})
