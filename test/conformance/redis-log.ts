// Verbs for tests of failures that only the log on Redis can meet.

import assert from 'node:assert/strict'
import type { TestContext } from 'node:test'
import { createClient, RESP_TYPES } from 'redis'
import { MillraceError } from '../../src/errors.ts'
import type { Consumer, EventLog } from '../../src/event-log/event-log.ts'
import { openRedisLog } from '../../src/event-log/redis/open-redis-log.ts'
import type { LogReset } from '../../src/event-log/redis/session/sessions.ts'
import { cleanup } from '../support/cleanup.ts'
import { type RedisOptions, RedisServer } from '../support/redis-server.ts'
import { asLimitedUser, makeLimitedUser, refuseDenials } from '../support/redis-user.ts'
import { group, perLane, topic } from './event-log-verbs.ts'

export const prefix = 'test'
export const laneKey = `${prefix}:{${topic}/0}:lane:normal`
export const booksKey = `${prefix}:{${topic}/0}:books`

export async function startServer(t: TestContext, options: RedisOptions = {}): Promise<RedisServer> {
  const server = await RedisServer.create(options)
  cleanup(t, () => server.destroy())
  await makeLimitedUser(server, prefix)
  cleanup(t, () => refuseDenials(server))
  return server
}

/** A log with its own connections, as if it were another process; with its log lines and counters. */
export interface OpenLog {
  readonly eventLog: EventLog
  readonly resets: LogReset[]
  /** The warnings about lost data. */
  readonly warnings: string[]
}

export async function openLog(
  t: TestContext,
  url: string,
  { now = Date.now, maxReplyMs = 5_000 }: { readonly now?: () => number; readonly maxReplyMs?: number } = {},
): Promise<OpenLog> {
  const resets: LogReset[] = []
  const warnings: string[] = []
  const logger = {
    info() {},
    warn(...words: unknown[]) {
      const message = String(words.at(-1))
      if (/^Redis ha[sd]/.test(message)) warnings.push(message)
    },
  }
  const eventLog = await openRedisLog({
    ...{ url: asLimitedUser(url), prefix, logger, now, maxReplyMs, elapsedMs: () => performance.now() },
    onReset: (reset) => resets.push(reset),
  })
  cleanup(t, () => eventLog.close())
  return { eventLog, resets, warnings }
}

/** Whether a consumer was refused because the epoch in which it joined has ended. */
export const isOver = (error: unknown) =>
  error instanceof MillraceError && error.code === 'unavailable' && Object.hasOwn(error.cause ?? {}, 'endedEpoch')

/** Joins a group again after its epoch has ended, which the consumer must have been told. */
export async function joinAgain(eventLog: EventLog, consumer: Consumer, leaseMs = 60_000, name = group) {
  await assert.rejects(consumer.next({ maxEvents: perLane(1), maxWaitMs: 0 }), isOver)
  await consumer.close()
  return await eventLog.consume(topic, name, { leaseMs })
}

/** A log that has declared the topic with one partition and one group. */
export async function openFirst(t: TestContext, url: string): Promise<OpenLog> {
  const open = await openLog(t, url)
  await open.eventLog.declare(topic, { partitions: 1, groups: [{ name: group }] })
  return open
}

export type RawClient = Awaited<ReturnType<typeof rawClient>>

/** A client that reads and writes the keys of the driver. */
export async function rawClient(t: TestContext, { url }: Pick<RedisServer, 'url'>) {
  const client = createClient({ url, RESP: 2 })
  client.on('error', () => {})
  await client.connect()
  cleanup(t, () => client.destroy())
  return client.withTypeMapping({ [RESP_TYPES.BLOB_STRING]: Buffer })
}
