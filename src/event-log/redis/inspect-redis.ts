// Looks at a Redis without making anything there: whether it can keep what is promised, and what is kept; and removes
// what is kept. For `millrace doctor` and `millrace clean`.

import type { DurabilityLevel } from '../../config-table.ts'
import { readRedisUrl } from '../../redis-url.ts'
import { checkRights, refuseDenied } from './check-rights.ts'
import { DurabilityGuard } from './durability-guard.ts'
import { openRedisConnection } from './open-redis-connection.ts'
import { listOf, numberOf, type RedisConnection, textOf } from './redis-connection.ts'
import { RedisKeys } from './redis-keys.ts'
import { replicationOf } from './replication-of.ts'

export interface InspectRedisOptions {
  readonly url: string
  readonly prefix: string
  readonly durability: DurabilityLevel
  readonly isDiskTrusted: boolean
}

export interface RedisInspection {
  /** `host:port` of each master. */
  readonly servers: readonly string[]
  /** What an answer of theirs is worth. */
  readonly persistence: string
  /** Why events could not be taken now; null when they could. */
  readonly problem: string | null
  readonly warnings: readonly string[]
}

const quiet = { info() {}, warn() {} }

/** Errors: as openRedisLog. */
export async function inspectRedis(options: InspectRedisOptions): Promise<RedisInspection> {
  const { url, prefix, durability, isDiskTrusted } = options
  const warnings: string[] = []
  return await withConnection(url, async (connection) => {
    const guard = new DurabilityGuard({
      servers: () => connection.masters(),
      promised: { ...durability, isDiskTrusted, isMasterNamed: readRedisUrl(url).topology !== 'standalone' },
      logger: { ...quiet, warn: (_fields: unknown, text?: string) => void warnings.push(text ?? '') },
      onHealth: () => {},
    })
    try {
      await guard.start().catch(refuseDenied)
      await checkRights(connection, new RedisKeys(prefix).probe, replicationOf(durability)).catch(refuseDenied)
      const { persistence, problem } = guard.health
      return { servers: connection.masters().map(({ name }) => name), persistence, problem, warnings }
    } finally {
      guard.close()
    }
  })
}

export interface KeptOnRedis {
  readonly keys: number
  /** Consumers that have shown that they live, within their lease. */
  readonly consumers: number
}

/** Counts what is there under the prefix. Errors: as openRedisLog. */
export async function countOnRedis({ url, prefix }: Pick<InspectRedisOptions, 'url' | 'prefix'>): Promise<KeptOnRedis> {
  return await withConnection(url, async (connection) => {
    let keys = 0
    for await (const page of pagesOfKeys(connection, prefix)) keys += page.length
    const consumers = numberOf(await connection.run('count-living', [new RedisKeys(prefix).members], []))
    return { keys, consumers }
  })
}

/** Removes all keys that begin with the prefix, and answers how many there were. Errors: as openRedisLog. */
export async function cleanRedis({ url, prefix }: Pick<InspectRedisOptions, 'url' | 'prefix'>): Promise<number> {
  return await withConnection(url, async (connection) => {
    let removed = 0
    for await (const page of pagesOfKeys(connection, prefix)) {
      // One by one: on a Cluster they live in different slots.
      const replies = await Promise.all(page.map((key) => connection.command('UNLINK', key)))
      removed += replies.reduce((sum: number, reply) => sum + numberOf(reply), 0)
    }
    return removed
  })
}

async function withConnection<T>(url: string, work: (connection: RedisConnection) => Promise<T>): Promise<T> {
  const connection = await openRedisConnection({ url, logger: quiet })
  try {
    return await work(connection)
  } finally {
    connection.close()
  }
}

const keysPerPage = 1000

async function* pagesOfKeys(connection: RedisConnection, prefix: string): AsyncGenerator<string[]> {
  // Nothing in a prefix is a pattern but a backslash, which it cannot have (RedisKeys).
  const pattern = `${prefix}:*`
  for (const master of connection.masters()) {
    let cursor = '0'
    do {
      const reply = await master.command('SCAN', cursor, 'MATCH', pattern, 'COUNT', keysPerPage).catch(refuseDenied)
      const [next, keys] = listOf(reply)
      cursor = textOf(next)
      yield listOf(keys).map(textOf)
    } while (cursor !== '0')
  }
}
