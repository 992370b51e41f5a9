// Opens the log on a Redis server.

import { type NodeAddress, readRedisUrl } from '../../config/redis-url.ts'
import type { DurabilityLevel } from '../../event/durability.ts'
import { durabilityOf } from '../../event/durability.ts'
import type { Logger } from '../../telemetry/logger.ts'
import type { CommitStats, EventLog, LogHealth } from '../event-log.ts'
import { BellListener } from './bell-listener.ts'
import { DurabilityGuard } from './durability-guard.ts'
import { Epochs, type LogReset } from './epochs.ts'
import { MemberWatch } from './member-watch.ts'
import { openRedisConnection } from './open-redis-connection.ts'
import { numberOf, type RedisConnection } from './redis-connection.ts'
import { epochField, RedisKeys } from './redis-keys.ts'
import { RedisLog } from './redis-log.ts'
import { replicationOf } from './replication-of.ts'
import { TopicRegistry } from './topic-registry.ts'

export interface OpenRedisLogOptions {
  /** One server, the master that Sentinels name, or a Cluster: redis-url.ts says how. */
  readonly url: string
  /** Every key begins with it. */
  readonly prefix: string
  readonly logger: Pick<Logger, 'info' | 'warn'>
  /** The wall clock, in milliseconds since 1970: what comes again is due by it. */
  readonly now: () => number
  /** A clock that only goes forward, in milliseconds: other consumers' leases are judged by it. */
  readonly elapsedMs: () => number
  /** What an append waits for, and what the server is held to. Default `broker`. */
  readonly durability?: DurabilityLevel | undefined
  /** Whether the operator vouches for how the server flushes, where it does not tell. Default false. */
  readonly isDiskTrusted?: boolean
  /** Called when the log is open, and then whenever something has changed. */
  readonly onHealth?: ((health: LogHealth) => void) | undefined
  /** Called after each append that was stored. */
  readonly onCommit?: ((stats: CommitStats) => void) | undefined
  /** Called when the server has forgotten what it had acknowledged, and the log has gone over to a new epoch. */
  readonly onReset?: ((reset: LogReset) => void) | undefined
  /** How often the servers are looked at, in milliseconds. Default 15,000. */
  readonly checkEveryMs?: number
  /** How long the server may say nothing, in milliseconds. Default 5,000. */
  readonly maxReplyMs?: number
  /** Where a server is reached that the others call by this address. Default: there. */
  readonly reach?: (address: NodeAddress) => NodeAddress
}

/**
 * Errors: `unavailable` (the server cannot be reached), `failed_precondition` (it lets nobody in, cannot keep what is
 * promised, or denies a command that is needed); each with the fix.
 */
export async function openRedisLog(options: OpenRedisLogOptions): Promise<EventLog> {
  const { url, prefix, logger, now, elapsedMs, durability = { level: 'broker' }, isDiskTrusted = false } = options
  const keys = new RedisKeys(prefix)
  const connection = await openRedisConnection({ ...options, replication: replicationOf(durability) })
  const guard = new DurabilityGuard({
    ...{ target: readRedisUrl(url), durability, isDiskTrusted, probeKey: keys.probe, logger },
    servers: () => connection.masters(),
    checkEveryMs: options.checkEveryMs,
    onHealth: options.onHealth ?? (() => {}),
  })
  connection.onMastersChanged(() => guard.mastersChanged())
  try {
    await guard.start()
    const epoch = await epochOf(connection, keys, now)
    const registry = new TopicRegistry({ connection, keys, logger, epoch: () => epochs.epoch })
    const { onReset = () => {} } = options
    const epochs: Epochs = new Epochs({
      ...{ connection, keys, epoch, logger, onReset },
      makeAgain: (partition) => registry.makeAgain(partition, epochs.epoch),
      begin: (next) => registry.begin(next),
    })
    const watch = new MemberWatch({ connection, epochs, keys, elapsedMs })
    await epochs.goOn(async (current) => {
      await registry.refresh()
      // Whoever dropped a group may have ended half-way.
      await registry.finishDrops()
      for (const topic of registry.topics.values()) {
        // So may whoever declared it, or paused a group.
        await registry.make(topic.name, current)
      }
    })
    for (const topic of registry.topics.values()) {
      // The first look begins to count for those who hold something. One that fails is no reason not to start.
      for (const group of topic.groups) await watch.look(topic, group).catch(() => {})
    }
    const { onCommit = () => {} } = options
    const bells = new BellListener({ connection, logger })
    return new RedisLog({
      ...{ connection, bells, registry, watch, guard, epochs, durability: durabilityOf(durability), now, onCommit },
    })
  } catch (thrown) {
    guard.close()
    connection.close()
    throw thrown
  }
}

/** It is only written where there is none: a server whose memory is full takes no writes, and a worker can still start on it. */
async function epochOf(connection: RedisConnection, keys: RedisKeys, now: () => number): Promise<number> {
  const known = await connection.command('HGET', keys.topics, epochField)
  if (known !== null) return numberOf(known)
  // A first epoch that was none before, also when the server has forgotten that there were others.
  await connection.command('HSETNX', keys.topics, epochField, Math.floor(now() / 1000))
  return numberOf(await connection.command('HGET', keys.topics, epochField))
}
