// Checks, without writing anything, whether a Redis can keep the promised durability. For `millrace doctor`.

import { readRedisUrl } from '../../config/redis-url.ts'
import type { DurabilityLevel } from '../../event/durability.ts'
import { openRedisConnection } from './connection/open-redis-connection.ts'
import { BlockedLanes, findBlockedLanes } from './guard/blocked-lanes.ts'
import { DurabilityGuard } from './guard/durability-guard.ts'
import { RedisKeys } from './redis-keys.ts'

export interface InspectRedisOptions {
  readonly url: string
  readonly prefix: string
  readonly durability: DurabilityLevel
  readonly isDiskTrusted: boolean
}

export interface RedisInspection {
  /** `host:port` of each master. */
  readonly servers: readonly string[]
  /** The weakest persistence among them. */
  readonly persistence: string
  /** What would keep a server from accepting or landing events now; null when nothing would. */
  readonly problem: string | null
  readonly warnings: readonly string[]
}

const quiet = { info() {}, warn() {} }

/** Errors: as openRedisLog. */
export async function inspectRedis(options: InspectRedisOptions): Promise<RedisInspection> {
  const { url, prefix, durability, isDiskTrusted } = options
  const warnings: string[] = []
  // Only lines about one server: the problem of the whole log is in the health.
  const warn = (fields: unknown, text?: string) => {
    if (typeof fields === 'object' && fields !== null && 'redis' in fields) warnings.push(text ?? '')
  }
  const connection = await openRedisConnection({ url, logger: quiet })
  const keys = new RedisKeys(prefix)
  const guard = new DurabilityGuard({
    ...{ target: readRedisUrl(url), durability, isDiskTrusted, probeKey: keys.probe },
    servers: () => connection.masters(),
    blockedLanes: new BlockedLanes(connection),
    logger: { ...quiet, warn },
    onHealth: () => {},
  })
  try {
    await guard.start()
    const { persistence, problem } = guard.health
    const problems = [...(problem === null ? [] : [problem.message]), ...(await findBlockedLanes(connection, keys))]
    const servers = connection.masters().map(({ name }) => name)
    return { servers, persistence, problem: problems.length === 0 ? null : problems.join('; '), warnings }
  } finally {
    guard.close()
    connection.close()
  }
}
