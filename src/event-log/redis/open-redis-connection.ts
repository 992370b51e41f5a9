// Connects to what the URL names.

import { type NodeAddress, type RedisTarget, readRedisUrl } from '../../config/redis-url.ts'
import type { Logger } from '../../telemetry/logger.ts'
import { ClusterConnection } from './cluster-connection.ts'
import { loadClientFactory } from './node-connection.ts'
import type { RedisConnection, Replication } from './redis-connection.ts'
import { readScripts } from './redis-scripts.ts'
import { SentinelConnection } from './sentinel-connection.ts'
import { StandaloneConnection } from './standalone-connection.ts'
import type { TopologyOptions } from './topology.ts'

const defaultMaxReplyMs = 5_000

export interface OpenRedisConnectionOptions {
  readonly url: string
  readonly logger: Pick<Logger, 'info' | 'warn'>
  /** What `runDurably` waits for. Default: for the answer alone. */
  readonly replication?: Replication | undefined
  /**
   * A command without an answer by then has an unknown outcome, and a server that says nothing for so long is given up: a
   * new connection is tried. Replicas have half of it. Default 5,000.
   */
  readonly maxReplyMs?: number
  /** Where a server is reached that the others call by this address. Default: there. */
  readonly reach?: (address: NodeAddress) => NodeAddress
}

/**
 * Errors: `unavailable` when nobody can be reached; `failed_precondition` when the URL is wrong, or the servers are not
 * what it says or refuse it. The message says what to do.
 */
export async function openRedisConnection(options: OpenRedisConnectionOptions): Promise<RedisConnection> {
  const { url, logger, replication, maxReplyMs = defaultMaxReplyMs, reach = (address) => address } = options
  const target = readRedisUrl(url)
  const makeClient = await loadClientFactory()
  return await open(target, { makeClient, scripts: readScripts(), replication, maxReplyMs, logger, reach })
}

function open(target: RedisTarget, options: TopologyOptions): Promise<RedisConnection> {
  switch (target.topology) {
    case 'standalone':
      return StandaloneConnection.open(target.address, options)
    case 'sentinel':
      return SentinelConnection.open(target, options)
    case 'cluster':
      return ClusterConnection.open(target.seeds, options)
  }
}
