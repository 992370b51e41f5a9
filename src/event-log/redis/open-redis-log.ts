// Opens the log on a Redis server.

import type { Logger } from '../../telemetry/logger.ts'
import type { EventLog } from '../event-log.ts'
import { type DurabilityLevel, durabilityOf, replicationOf } from './durability-level.ts'
import { MemberWatch } from './member-watch.ts'
import { openRedisConnection } from './open-redis-connection.ts'
import { numberOf } from './redis-connection.ts'
import { RedisKeys } from './redis-keys.ts'
import { RedisLog } from './redis-log.ts'
import { TopicRegistry } from './topic-registry.ts'

export interface OpenRedisLogOptions {
  /** `redis://host:port`. */
  readonly url: string
  /** Every key begins with it. */
  readonly prefix: string
  readonly logger: Pick<Logger, 'info' | 'warn'>
  /** The wall clock, in milliseconds since 1970: what comes again is due by it. */
  readonly now: () => number
  /** A clock that only goes forward, in milliseconds: other consumers' leases are judged by it. */
  readonly elapsedMs: () => number
  /** What an append waits for. Default `broker`. */
  readonly durability?: DurabilityLevel
  /** How long the server may say nothing, in milliseconds. Default 5,000. */
  readonly maxReplyMs?: number
}

/** Errors: `unavailable` (the server cannot be reached, or refuses). */
export async function openRedisLog(options: OpenRedisLogOptions): Promise<EventLog> {
  const { prefix, now, elapsedMs, durability = { level: 'broker' } } = options
  const keys = new RedisKeys(prefix)
  const connection = await openRedisConnection({ ...options, replication: replicationOf(durability) })
  try {
    await connection.command('SET', keys.epoch, 1, 'NX')
    const epoch = numberOf(await connection.command('GET', keys.epoch))
    const registry = new TopicRegistry(connection, keys)
    await registry.refresh()
    const watch = new MemberWatch({ connection, keys, elapsedMs })
    for (const topic of registry.topics.values()) {
      // Whoever declared it may have ended half-way.
      await registry.make(topic.name)
      // The first look begins to count for those who hold something.
      for (const group of topic.groups) await watch.look(topic, group)
    }
    return new RedisLog({ connection, registry, watch, epoch, durability: durabilityOf(durability), now })
  } catch (thrown) {
    connection.close()
    throw thrown
  }
}
