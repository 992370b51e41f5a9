// Opens the log on a Redis server.

import { randomBytes } from 'node:crypto'
import { type NodeAddress, readRedisUrl } from '../../config/redis-url.ts'
import type { DurabilityLevel } from '../../event/durability.ts'
import { durabilityOf } from '../../event/durability.ts'
import type { Logger } from '../../telemetry/logger.ts'
import type { CommitStats, EventLog, LogHealth } from '../event-log.ts'
import { openRedisConnection } from './connection/open-redis-connection.ts'
import { numberOf, type RedisConnection } from './connection/redis-connection.ts'
import { replicationOf } from './connection/replication-of.ts'
import { Bells } from './consume/bells.ts'
import { Inboxes } from './consume/inboxes.ts'
import { MemberWatch } from './consume/member-watch.ts'
import { BlockedLanes } from './guard/blocked-lanes.ts'
import { DurabilityGuard } from './guard/durability-guard.ts'
import { layout, RedisKeys } from './redis-keys.ts'
import { RedisLog } from './redis-log.ts'
import { type LogReset, Sessions } from './session/sessions.ts'
import { readRegistry } from './topics/registry-content.ts'

export interface OpenRedisLogOptions {
  /** One server, a master named by Sentinels, or a Cluster; for the syntax see redis-url.ts. */
  readonly url: string
  /** Every key begins with this and a colon. */
  readonly prefix: string
  readonly logger: Pick<Logger, 'info' | 'warn'>
  /** The wall clock, in milliseconds since 1970; decides when a redelivery is due. */
  readonly now: () => number
  /** A monotonic clock, in milliseconds; decides when another consumer's lease has expired. */
  readonly elapsedMs: () => number
  /** What an append waits for, and what the server's settings are checked against. Default `broker`. */
  readonly durability?: DurabilityLevel | undefined
  /** Whether to trust the server's flush settings where CONFIG GET is denied. Default false. */
  readonly isDiskTrusted?: boolean
  /** Called when the log is open, and then after each check of the servers. */
  readonly onHealth?: ((health: LogHealth) => void) | undefined
  /** Called after each script that stored appends. */
  readonly onCommit?: ((stats: CommitStats) => void) | undefined
  /** Called when the server has lost acknowledged data and the log has begun a new epoch. */
  readonly onReset?: ((reset: LogReset) => void) | undefined
  /** How often the servers are checked, in milliseconds. Default 5,000. */
  readonly checkEveryMs?: number
  /** Reply timeout of the server, in milliseconds. Default 5,000. */
  readonly maxReplyMs?: number
  /** Maps an address that a server announces to the one to connect to. Default: unchanged. */
  readonly reach?: (address: NodeAddress) => NodeAddress
}

/**
 * Opens the log; the servers have been checked and every declared topic is complete when the promise resolves.
 * Errors: `unavailable` (the server is unreachable), `failed_precondition` (it refuses the login, cannot keep the
 * promised durability, or denies a needed command); each message contains the fix.
 */
export async function openRedisLog(options: OpenRedisLogOptions): Promise<EventLog> {
  const { url, prefix, logger, now, elapsedMs, durability = { level: 'broker' }, isDiskTrusted = false } = options
  const keys = new RedisKeys(prefix)
  const connection = await openRedisConnection({ ...options, replication: replicationOf(durability) })
  const blockedLanes = new BlockedLanes(connection)
  const guard = new DurabilityGuard({
    ...{ target: readRedisUrl(url), durability, isDiskTrusted, probeKey: keys.probe, logger },
    servers: () => connection.masters(),
    blockedLanes,
    checkEveryMs: options.checkEveryMs,
    onHealth: options.onHealth ?? (() => {}),
  })
  connection.onMastersChanged(() => guard.mastersChanged())
  try {
    await guard.start()
    const epoch = await epochOf(connection, keys, now)
    const { onReset = () => {} } = options
    const sessions = new Sessions({
      ...{ connection, keys, epoch, logger, blockedLanes, onReset },
      mayAppend: () => guard.mayAppend(),
    })
    const process = randomBytes(9).toString('base64url')
    const watch = new MemberWatch({ connection, sessions, keys, process, elapsedMs })
    await sessions.within(async ({ registry }) => {
      await registry.refresh()
      // Another process may have died in the middle of a drop,
      await registry.finishDrops()
      // or of a declaration or a pause.
      for (const topic of registry.topics.keys()) await registry.make(topic)
    })
    for (const topic of sessions.current.registry.topics.values()) {
      // This starts the lease timers of consumers that hold something. A failed check must not stop the start.
      for (const group of topic.groups.keys()) await watch.check(topic, group).catch(() => {})
    }
    const { onCommit = () => {} } = options
    const bells = new Bells({ connection, logger })
    return new RedisLog({
      ...{
        connection,
        keys,
        bells,
        inboxes: new Inboxes(connection),
        watch,
        guard,
        blockedLanes,
        sessions,
        durability: durabilityOf(durability),
        now,
        onCommit,
      },
    })
  } catch (thrown) {
    guard.close()
    connection.close()
    throw thrown
  }
}

/** Begins the first epoch where there is none; writes nothing else, so that a worker can start where memory is full. */
async function epochOf(connection: RedisConnection, keys: RedisKeys, now: () => number): Promise<number> {
  const known = readRegistry(await connection.command('HGETALL', keys.topics), keys).epoch
  if (known !== 0) return known
  // Seconds since 1970: differs from all earlier epochs even when the server has lost those.
  return numberOf(await connection.run('raise-epoch', [keys.topics], [0, Math.floor(now() / 1000), layout]))
}
