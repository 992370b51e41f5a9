// Connects to what the URL names.

import type { Logger } from '../../telemetry/logger.ts'
import type { NodeAddress } from './node-connection.ts'
import type { RedisConnection, Replication } from './redis-connection.ts'
import { readScripts } from './redis-scripts.ts'
import { StandaloneConnection } from './standalone-connection.ts'

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
}

/** Errors: `unavailable` when the server cannot be reached or refuses. */
export async function openRedisConnection(options: OpenRedisConnectionOptions): Promise<RedisConnection> {
  const { url, logger, replication, maxReplyMs = defaultMaxReplyMs } = options
  // Takes 150 ms, so only those pay for it who use Redis.
  const redis = await import('redis')
  const topology = { redis, scripts: readScripts(), replication, maxReplyMs, logger }
  return StandaloneConnection.open(addressOf(url), topology)
}

function addressOf(text: string): NodeAddress {
  const url = new URL(text)
  const database = url.pathname.slice(1)
  return {
    host: url.hostname.replace(/^\[|\]$/g, ''),
    port: url.port === '' ? 6379 : Number(url.port),
    isTls: url.protocol === 'rediss:',
    ...(url.username === '' ? {} : { username: decodeURIComponent(url.username) }),
    ...(url.password === '' ? {} : { password: decodeURIComponent(url.password) }),
    ...(database === '' ? {} : { database: Number(database) }),
  }
}
