import assert from 'node:assert/strict'
import { Writable } from 'node:stream'
import { test } from 'node:test'
import { setImmediate } from 'node:timers/promises'
import { within } from '../../test/support/eventually.ts'
import { MillraceError } from '../errors.ts'
import type { Consumer, Delivery, EventLog } from '../event-log/event-log.ts'
import { groupStateText, runningState } from '../pipeline/group-state.ts'
import { createLogger } from '../telemetry/logger.ts'
import type { Handler } from './handler.ts'
import { WorkerPool, type WorkerPoolOptions } from './worker-pool.ts'

/** A log with this many deliveries of this many bytes, one per call of `next`, and then none. */
function logOf(count: number, bytes = 0): { eventLog: EventLog; settled: Promise<void> } {
  const settled = Promise.withResolvers<void>()
  const position = { stream: { topic: 'events', partition: 0, lane: 'normal' }, epoch: 1, offset: 0 }
  const deliveries = Array(count).fill({
    position,
    batch: { bytes: new Uint8Array(bytes), count: 1, receivedAtMicros: 0 },
  })
  let left = count
  const consumer: Pick<Consumer, 'next' | 'settle' | 'close'> = {
    next: async ({ maxWaitMs, signal }) => {
      const found = deliveries.splice(0, 1) as unknown as Delivery[]
      if (found.length === 0 && maxWaitMs > 0)
        await new Promise((resolve) => signal?.addEventListener('abort', resolve))
      return found
    },
    settle: async () => {
      if (--left === 0) settled.resolve()
      return []
    },
    close: async () => {},
  }
  return { eventLog: { consume: async () => consumer } as unknown as EventLog, settled: settled.promise }
}

function poolOf(eventLog: EventLog, handler: Handler, more: Partial<WorkerPoolOptions> = {}): WorkerPool {
  return new WorkerPool({
    declare: async () => {},
    eventLog,
    topic: 'events',
    group: 'landing',
    handler,
    maxTurnEvents: 1,
    turnIntervalMs: 0,
    maxTurnWaitMs: 0,
    maxTurns: 1,
    leaseMs: 30_000,
    logger: createLogger({ level: 'fatal', version: '0' }),
    now: Date.now,
    monotonicNow: () => 0,
    random: () => 0,
    ...more,
  })
}

test('the state of an outage has the time of its first failure and the error of the last attempt', async () => {
  const { eventLog, settled } = logOf(1)
  const seen: string[] = []
  const failures = ['postgres is unreachable: 57P01: it stops', 'postgres is unreachable: ECONNREFUSED', 'it is full']
  let nowMs = Date.UTC(2026, 10, 21, 8, 40)
  const handler: Handler = async () => {
    seen.push(groupStateText(pool.state))
    nowMs += 1000
    const failure = failures.shift()
    if (failure !== undefined) throw new MillraceError('unavailable', failure)
    return []
  }
  const pool = poolOf(eventLog, handler, { now: () => nowMs })
  await pool.start()
  await settled

  assert.deepEqual(seen, [
    'running',
    'outage since 2026-11-21T08:40:01.000Z: postgres is unreachable: 57P01: it stops',
    'outage since 2026-11-21T08:40:01.000Z: postgres is unreachable: ECONNREFUSED',
    'outage since 2026-11-21T08:40:01.000Z: it is full',
  ])
  assert.deepEqual(pool.state, runningState)
  await pool.close(1000)
})

test('a pool takes no work, and says why, while two reads of the log in a row have failed', async () => {
  const { eventLog } = logOf(0)
  const consumer = await eventLog.consume('events', 'landing', { leaseMs: 30_000 })
  const seen: unknown[] = []
  const failures = [new Error('NOREPLICAS'), new Error('MISCONF')]
  const { promise: read, resolve } = Promise.withResolvers<void>()
  const { next } = consumer
  consumer.next = async (options) => {
    seen.push([pool.takesWork, pool.problem])
    const cause = failures.shift()
    if (cause !== undefined) throw new MillraceError('disk_full', 'Redis refuses', { cause })
    if (seen.length === 3) return []
    resolve()
    return await next(options)
  }
  const pool = poolOf(eventLog, async () => [])
  await pool.start()
  await read

  const message = 'landing of events cannot read the log: Redis refuses (MISCONF)'
  assert.deepEqual(seen, [
    [true, null],
    [true, null],
    [false, { reason: 'disk_full', message }],
    [true, null],
  ])
  await pool.close(1000)
})

test('a reported retry is shown with its start until it has had its time, and logged once', async () => {
  const { eventLog, settled } = logOf(3)
  let nowMs = Date.UTC(2026, 10, 21, 8, 40)
  const seen: string[] = []
  const lines: string[] = []
  const destination = new Writable({
    write: (line, _encoding, done) => {
      lines.push(JSON.parse(String(line)).message)
      done()
    },
  })
  const logger = createLogger({ level: 'error', version: '0', destination, pretty: false })
  const handler: Handler = async (_, { reportRetry }) => {
    reportRetry({ reason: 'it refuses letter 7: 23514: no', dueAtMs: nowMs + 1000, isNew: seen.length === 0 })
    nowMs += 500
    seen.push(groupStateText(pool.state))
    return []
  }
  const pool = poolOf(eventLog, handler, { now: () => nowMs, logger })
  await pool.start()
  await settled

  assert.deepEqual(seen, Array(3).fill('running, but since 2026-11-21T08:40:00.000Z: it refuses letter 7: 23514: no'))
  assert.deepEqual(lines, ['it refuses letter 7: 23514: no; retrying, the others go on'])
  nowMs += 7000
  assert.deepEqual(pool.state, runningState)
  await pool.close(1000)
})

test('when one turn succeeds after a pause, the other failed turns are retried at once', async () => {
  const { eventLog, settled } = logOf(3)
  const allBegun = Promise.withResolvers<void>()
  let calls = 0
  const handler: Handler = async () => {
    const call = ++calls
    if (call === 3) allBegun.resolve()
    await allBegun.promise
    // Without the success of the third, these would be retried after 10 s.
    if (call <= 2) throw new MillraceError('failed_precondition', 'the table is gone')
    if (call === 3) await setImmediate()
    return []
  }
  const pool = poolOf(eventLog, handler, { maxTurns: 3 })
  await pool.start()

  await within(2000, 'the turns that had failed', settled)
  assert.equal(calls, 5)
  await pool.close(1000)
})

test('settling a turn of a deleted group is not retried', async () => {
  const { eventLog } = logOf(1)
  const consumer = await eventLog.consume('events', 'landing', { leaseMs: 30_000 })
  const asked = Promise.withResolvers<void>()
  let settlements = 0
  consumer.settle = async () => {
    settlements++
    asked.resolve()
    throw new MillraceError('not_found', 'there is no group')
  }
  const pool = poolOf(eventLog, async () => [])
  await pool.start()
  await asked.promise
  await within(2000, 'closing', pool.close(60_000))
  assert.equal(settlements, 1)
})

test('a turn ends at the delivery whose bytes reach the limit', async () => {
  const { eventLog } = logOf(7, 3 * 1024 * 1024)
  const turns: number[] = []
  const { promise: handled, resolve } = Promise.withResolvers<void>()
  const handler: Handler = async (deliveries) => {
    turns.push(deliveries.length)
    if (turns.length === 3) resolve()
    return deliveries.map((delivery) => ({ delivery, landed: 1, dead: 0 }))
  }
  const pool = poolOf(eventLog, handler, { maxTurnEvents: 100, maxTurnWaitMs: 1000 })
  await pool.start()
  await within(5000, 'three turns', handled)
  // The first one after an idle time is handled at once.
  assert.deepEqual(turns, [1, 3, 3])
  await pool.close(1000)
})

test('deliveries that arrive while a turn is handled are the next turn together, when it has ended', async () => {
  const { eventLog } = logOf(4)
  const turns: number[] = []
  const first = Promise.withResolvers<void>()
  const second = Promise.withResolvers<void>()
  const handler: Handler = async (deliveries) => {
    turns.push(deliveries.length)
    await (turns.length === 1 ? first.promise : second.resolve())
    return deliveries.map((delivery) => ({ delivery, landed: 1, dead: 0 }))
  }
  const pool = poolOf(eventLog, handler, { maxTurnEvents: 100, maxTurnWaitMs: 60_000, maxTurns: 2 })
  await pool.start()
  for (let turn = 0; turn < 10; turn++) await setImmediate()
  assert.deepEqual(turns, [1])
  first.resolve()
  await within(5000, 'the second turn', second.promise)
  assert.deepEqual(turns, [1, 3])
  await pool.close(1000)
})

test('when the epoch of its consumer has ended, the pool drops its deliveries and joins again at once', async () => {
  const { eventLog: log, settled } = logOf(3)
  const second = await log.consume('events', 'landing', { leaseMs: 30_000 })
  const [lost] = await second.next({ maxEvents: { high: 1, normal: 1, low: 1 }, maxWaitMs: 0 })
  const ended = () =>
    Promise.reject(new MillraceError('unavailable', 'Redis has lost data', { cause: { endedEpoch: 1 } }))
  const reads = [async () => [lost!], async () => [lost!], ended]
  const calls: string[] = []
  const first = {
    next: () => reads.shift()!(),
    settle: async () => {
      calls.push('settle')
      return ended()
    },
    close: async () => void calls.push('close'),
  }
  const consumers = [first, second]
  const eventLog = { consume: async () => consumers.shift() } as unknown as EventLog
  const turns: number[] = []
  const handler: Handler = async (deliveries) => {
    turns.push(deliveries.length)
    return []
  }
  // The other calls of settle that `settled` waits for.
  for (let call = 0; call < 2; call++) await second.settle([])
  const pool = poolOf(eventLog, handler, {
    maxTurnEvents: 2,
    turnIntervalMs: 10,
    declare: async () => void calls.push('declare'),
  })
  await pool.start()

  await within(2000, 'the turn of the new epoch', settled)
  // The first delivery after an idle time is handled at once; the second waited for others, and is dropped.
  assert.deepEqual(turns, [1, 2])
  assert.deepEqual(calls.toSorted(), ['close', 'declare', 'settle'])
  await pool.close(1000)
})
