// Connects to the server, Sentinels or Cluster of the URL.

import { type NodeAddress, type RedisTarget, readRedisUrl } from '../../../config/redis-url.ts'
import type { Logger } from '../../../telemetry/logger.ts'
import { readScripts } from '../scripts/redis-scripts.ts'
import { ClusterConnection } from './cluster-connection.ts'
import { loadClientFactory } from './node-connection.ts'
import type { RedisConnection, Replication } from './redis-connection.ts'
import type { RoutedConnection } from './routed-connection.ts'
import { SentinelConnection } from './sentinel-connection.ts'
import { StandaloneConnection } from './standalone-connection.ts'
import type { TopologyOptions } from './topology.ts'

const defaultMaxReplyMs = 5_000

export interface OpenRedisConnectionOptions {
  readonly url: string
  readonly logger: Pick<Logger, 'info' | 'warn'>
  /** What `runDurably` waits for. Default: only for the reply. */
  readonly replication?: Replication | undefined
  /**
   * A command without a reply within this time has an unknown outcome; a connection without any reply for this long is
   * closed and reopened. The timeout of replicas is half of it. Default 5,000.
   */
  readonly maxReplyMs?: number
  /** Maps an address that a server announces to the one to connect to. Default: unchanged. */
  readonly reach?: (address: NodeAddress) => NodeAddress
}

/**
 * Errors: `unavailable` when no server is reachable; `failed_precondition` when the URL is wrong, names another kind of
 * server, or the login is refused. The message contains the fix.
 */
export async function openRedisConnection(options: OpenRedisConnectionOptions): Promise<RedisConnection> {
  const { url, logger, replication, maxReplyMs = defaultMaxReplyMs, reach = (address) => address } = options
  const target = readRedisUrl(url)
  const makeClient = await loadClientFactory()
  const connection = connectionTo(target, {
    makeClient,
    scripts: readScripts(),
    replication,
    maxReplyMs,
    logger,
    reach,
  })
  try {
    await connection.connect()
    return connection
  } catch (thrown) {
    connection.close()
    throw thrown
  }
}

function connectionTo(target: RedisTarget, options: TopologyOptions): RoutedConnection {
  switch (target.topology) {
    case 'standalone':
      return new StandaloneConnection(target.address, options)
    case 'sentinel':
      return new SentinelConnection(target, options)
    case 'cluster':
      return new ClusterConnection(target.seeds, options)
  }
}
