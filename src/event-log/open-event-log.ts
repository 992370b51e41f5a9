// Opens the log that the configuration selects. The only file that names a driver.
//
// The Redis driver is imported only when it is used: a tenth of what a server without it takes to start.

import type { Config } from '../config/config.ts'
import type { Logger } from '../telemetry/logger.ts'
import { openEmbeddedLog } from './embedded/open-embedded-log.ts'
import { inspectLog, type LogInspection } from './embedded/repair/inspect.ts'
import { type LogRepair, repairLog } from './embedded/repair/repair.ts'
import type { CommitStats, EventLog, LogHealth, LogProblem } from './event-log.ts'
import type { KeptOnRedis } from './redis/clean-redis.ts'
import type { RedisInspection } from './redis/inspect-redis.ts'

export type { LogCounts, LogFinding, LogInspection } from './embedded/repair/inspect.ts'
export type { LogRepair } from './embedded/repair/repair.ts'
export type { KeptOnRedis } from './redis/clean-redis.ts'
export type { RedisInspection } from './redis/inspect-redis.ts'

export type EventLogConfig = Pick<Config, 'dataDir' | 'diskReserveBytes'> &
  Partial<Pick<Config, 'redisUrl' | 'redisPrefix' | 'redisTrustDisk' | 'durability'>>

export interface OpenEventLogOptions {
  readonly logger: Pick<Logger, 'info' | 'warn'>
  /** The wall clock, in milliseconds since 1970. */
  readonly now: () => number
  /** Called after each commit, with what it stored for producers. */
  readonly onCommit?: (stats: CommitStats) => void
  /** Called when the log is open, then after each check of its storage. */
  readonly onHealth?: (health: LogHealth) => void
  /** Called when a running log has lost acknowledged entries and a new epoch has begun; happens on Redis only. */
  readonly onReset?: () => void
}

/**
 * Opens the log: on the Redis that the configuration names, or else in the data directory.
 * Errors: `failed_precondition` (the data directory is in use or has the format of another version; Redis cannot
 * provide the configured durability or refuses access), `corrupt` (damaged), `disk_full`, `unavailable` (cannot be
 * reached, read or written). The message says what to do.
 */
export async function openEventLog(config: EventLogConfig, options: OpenEventLogOptions): Promise<EventLog> {
  const {
    redisUrl = null,
    redisPrefix: prefix = 'millrace',
    redisTrustDisk: isDiskTrusted = false,
    durability,
  } = config
  if (redisUrl !== null) {
    const { openRedisLog } = await import('./redis/open-redis-log.ts')
    const elapsedMs = () => performance.now()
    return await openRedisLog({ ...options, url: redisUrl, prefix, isDiskTrusted, durability, elapsedMs })
  }
  const { logger, onHealth = () => {}, onReset: _, ...rest } = options
  const { dataDir, diskReserveBytes } = config
  const eventLog = await openEmbeddedLog({
    ...rest,
    dataDir,
    diskReserveBytes,
    onDiskFull: (isFull) => {
      onHealth(embeddedHealth(isFull ? fullDisk(dataDir) : null))
      if (isFull) logger.warn({ data_dir: dataDir }, 'disk full: publishes are refused until space is free')
      else logger.info({ data_dir: dataDir }, 'disk has free space again: publishes are accepted')
    },
  })
  onHealth(embeddedHealth(null))
  return eventLog
}

function embeddedHealth(problem: LogProblem | null): LogHealth {
  return { problem, persistence: 'sqlite-wal', isUnverified: false }
}

function fullDisk(dataDir: string): LogProblem {
  const message = `the disk of the data directory ${dataDir} is full: publishes are refused until space is free`
  return { reason: 'disk_full', message, answersAppends: true, delivers: true }
}

/**
 * Inspects a log that no process has open: reports what keeps it from starting, and what is in it. Reads every entry.
 * Errors: `failed_precondition` when the log has the format of another version.
 */
export function inspectEventLog({ dataDir }: Pick<EventLogConfig, 'dataDir'>): LogInspection {
  return inspectLog(dataDir)
}

/**
 * Copies what is readable in a damaged log into a new file and keeps the old one. Returns null when there is nothing to
 * repair.
 * Errors: `failed_precondition` (the log is in use or has the format of another version), `disk_full` (no space for the
 * copy).
 */
export function repairEventLog({ dataDir }: Pick<EventLogConfig, 'dataDir'>): LogRepair | null {
  return repairLog(dataDir)
}

export type SharedLogConfig = Pick<Config, 'redisPrefix' | 'redisTrustDisk' | 'durability'> & {
  readonly redisUrl: string
}

/**
 * Checks whether the Redis of a log can provide the configured durability. Writes nothing there.
 * Errors: as openEventLog, when a server would not start.
 */
export async function inspectSharedLog(config: SharedLogConfig): Promise<RedisInspection> {
  const { inspectRedis } = await import('./redis/inspect-redis.ts')
  const { redisUrl: url, redisPrefix: prefix, redisTrustDisk: isDiskTrusted, durability } = config
  return inspectRedis({ url, prefix, isDiskTrusted, durability })
}

/** Counts what Redis holds under the prefix. Errors: as openEventLog. */
export async function countSharedLog(config: Pick<SharedLogConfig, 'redisUrl' | 'redisPrefix'>): Promise<KeptOnRedis> {
  const { countOnRedis } = await import('./redis/clean-redis.ts')
  return countOnRedis({ url: config.redisUrl, prefix: config.redisPrefix })
}

/** Removes everything under the prefix and returns the number of removed keys. Errors: as openEventLog. */
export async function cleanSharedLog(config: Pick<SharedLogConfig, 'redisUrl' | 'redisPrefix'>): Promise<number> {
  const { cleanRedis } = await import('./redis/clean-redis.ts')
  return cleanRedis({ url: config.redisUrl, prefix: config.redisPrefix })
}
