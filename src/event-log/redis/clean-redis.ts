// Counts and removes the keys of a prefix. For `millrace clean`.

import { MillraceError } from '../../errors.ts'
import { openRedisConnection } from './connection/open-redis-connection.ts'
import { listOf, numberOf, type RedisConnection, textOf } from './connection/redis-connection.ts'
import { missingRightIn } from './guard/check-rights.ts'
import { RedisKeys } from './redis-keys.ts'

export interface RedisPlace {
  readonly url: string
  readonly prefix: string
}

export interface KeptOnRedis {
  readonly keys: number
  /** Processes with consumers whose heartbeat is younger than their lease. */
  readonly processes: number
}

/** Counts the keys and live processes of the prefix. Errors: as openRedisLog. */
export async function countOnRedis({ url, prefix }: RedisPlace): Promise<KeptOnRedis> {
  return await withConnection(url, async (connection) => {
    let keys = 0
    for await (const page of pagesOfKeys(connection, prefix)) keys += page.length
    const processes = numberOf(await connection.run('count-living', [new RedisKeys(prefix).members], []))
    return { keys, processes }
  })
}

/** Removes all keys of the prefix, and returns how many there were. Errors: as openRedisLog. */
export async function cleanRedis({ url, prefix }: RedisPlace): Promise<number> {
  return await withConnection(url, async (connection) => {
    let removed = 0
    for await (const page of pagesOfKeys(connection, prefix)) {
      // One command per key: on a Cluster they are in different slots.
      const replies = await Promise.all(page.map((key) => connection.command('UNLINK', key)))
      removed += replies.reduce((sum: number, reply) => sum + numberOf(reply), 0)
    }
    return removed
  })
}

async function withConnection<T>(url: string, work: (connection: RedisConnection) => Promise<T>): Promise<T> {
  const connection = await openRedisConnection({ url, logger: { info() {}, warn() {} } })
  try {
    return await work(connection)
  } finally {
    connection.close()
  }
}

const keysPerPage = 1000

async function* pagesOfKeys(connection: RedisConnection, prefix: string): AsyncGenerator<string[]> {
  // MILLRACE_REDIS_PREFIX allows no character that is special in a SCAN pattern.
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

/** Errors: `failed_precondition` where the server denies the command. */
function refuseDenied(thrown: unknown): never {
  const missing = missingRightIn(thrown)
  throw missing === null ? thrown : new MillraceError('failed_precondition', missing, { cause: thrown })
}
