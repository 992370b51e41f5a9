// Verbs for tests in which masters die and others take over.

import assert from 'node:assert/strict'
import type { TestContext } from 'node:test'
import { MillraceError } from '../../src/errors.ts'
import type { DurabilityLevel } from '../../src/event/durability.ts'
import type { EventLog } from '../../src/event-log/event-log.ts'
import { slotOf } from '../../src/event-log/redis/connection/hash-slot.ts'
import { type OpenRedisLogOptions, openRedisLog } from '../../src/event-log/redis/open-redis-log.ts'
import { cleanup } from '../support/cleanup.ts'
import { eventually } from '../support/eventually.ts'
import { RedisCluster, type RedisClusterOptions } from '../support/redis-cluster.ts'
import { RedisSentinel } from '../support/redis-sentinel.ts'
import { type RedisOptions, RedisServer } from '../support/redis-server.ts'
import { batchOf, group, idsOf, landed, ledger, ledgerOf, perLane, stream, takeAll, topic } from './event-log-verbs.ts'

export const silent = { info() {}, warn() {} }
export const prefix = 'test'
export const clocks = { now: Date.now, elapsedMs: () => performance.now() }
export const replicated: DurabilityLevel = { level: 'replicated', replicas: 1 }
export const takeSoon = { maxEvents: perLane(1000), maxWaitMs: 5_000 }

export const isCode = (code: string) => (error: unknown) => error instanceof MillraceError && error.code === code

export async function startServer(t: TestContext, options: RedisOptions = {}): Promise<RedisServer> {
  const server = await RedisServer.create(options)
  cleanup(t, () => server.destroy())
  return server
}

export async function startCluster(t: TestContext, options: RedisClusterOptions = {}): Promise<RedisCluster> {
  const cluster = await RedisCluster.create(options)
  cleanup(t, () => cluster.destroy())
  return cluster
}

export async function startSentinel(t: TestContext): Promise<RedisSentinel> {
  const sentinel = await RedisSentinel.create()
  cleanup(t, () => sentinel.destroy())
  return sentinel
}

export async function openLog(
  t: TestContext,
  url: string,
  { partitions = 1, ...more }: Partial<OpenRedisLogOptions> & { partitions?: number } = {},
): Promise<EventLog> {
  const eventLog = await openRedisLog({ url, prefix, logger: silent, ...clocks, checkEveryMs: 500, ...more })
  cleanup(t, () => eventLog.close())
  await eventLog.declare(topic, { partitions, groups: [{ name: group }] })
  return eventLog
}

/** Appends events one after the other, to each partition in turn, until it is stopped. */
export function produce(eventLog: EventLog, partitions = 1) {
  const accepted: string[] = []
  const failures: unknown[] = []
  let isStopped = false
  const works = Array.from({ length: partitions }, async (_, partition) => {
    for (let number = 0; !isStopped; number++) {
      const id = `${partition}-${number}`
      const numbered = { producer: { id: `p${partition}`, epoch: 1, sequence: number } }
      await eventLog.append(stream('normal', partition), [batchOf([id])], numbered).then(
        () => accepted.push(id),
        (failure) => failures.push(failure),
      )
      if (failures.length > 0) await new Promise((resolve) => setTimeout(resolve, 5))
    }
  })
  return {
    accepted,
    failures,
    /** Resolves when this many more have been accepted in each partition. */
    more: (count: number) => {
      const before = Array.from(
        { length: partitions },
        (_, at) => accepted.filter((id) => id.startsWith(`${at}-`)).length,
      )
      return eventually(
        () => {
          for (const [at, had] of before.entries()) {
            const has = accepted.filter((id) => id.startsWith(`${at}-`)).length
            assert.ok(has >= had + count, `${has - had} more in partition ${at}; last failure: ${failures.at(-1)}`)
          }
        },
        { withinMs: 15_000 },
      )
    },
    async stop() {
      isStopped = true
      await Promise.all(works)
    },
  }
}

/** While durability cannot be guaranteed, errors must say that the outcome is unknown, or that nothing was written. */
export function assertOutages(failures: readonly unknown[]): void {
  for (const failure of failures) {
    assert.ok(isCode('unavailable')(failure) || isCode('durability_lost')(failure), String(failure))
  }
}

/** Each accepted event is in the log, and each partition is in order. */
export async function assertNothingLost(eventLog: EventLog, accepted: readonly string[]): Promise<void> {
  const consumer = await eventLog.consume(topic, group, { leaseMs: 30_000 })
  const deliveries = await takeAll(consumer)
  const ids = idsOf(deliveries)
  assert.deepEqual(
    accepted.filter((id) => !ids.includes(id)),
    [],
  )
  for (const partition of new Set(deliveries.map(({ position }) => position.stream.partition))) {
    const numbers = ids.filter((id) => id.startsWith(`${partition}-`)).map((id) => Number(id.split('-')[1]))
    assert.deepEqual(
      numbers,
      [...numbers].sort((a, b) => a - b),
    )
  }
  assert.deepEqual(await consumer.settle(deliveries.map(landed)), [])
  assert.deepEqual(await ledgerOf(eventLog), ledger({ accepted: ids.length, landed: ids.length }))
}

export function masterOf({ masters }: RedisCluster, tag: string): RedisServer {
  return masters[Math.min(masters.length - 1, Math.floor((slotOf(`{${tag}}`) * masters.length) / 16_384))]!
}
