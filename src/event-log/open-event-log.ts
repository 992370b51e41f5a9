// Opens the log that the configuration asks for. The only file that names a driver.

import type { Logger } from '../telemetry/logger.ts'
import type { CommitStats } from './embedded/group-commit.ts'
import { inspectLog, type LogInspection } from './embedded/inspect.ts'
import { openEmbeddedLog } from './embedded/open-embedded-log.ts'
import { type LogRepair, repairLog } from './embedded/repair.ts'
import type { EventLog } from './event-log.ts'

export type { LogCounts, LogFinding, LogInspection } from './embedded/inspect.ts'
export type { LogRepair } from './embedded/repair.ts'

export interface EventLogConfig {
  /** Absolute. */
  readonly dataDir: string
  readonly diskReserveBytes: number
}

export interface OpenEventLogOptions {
  readonly logger: Pick<Logger, 'info' | 'warn'>
  /** The wall clock, in milliseconds since 1970. */
  readonly now: () => number
  /** Called after each commit, with what it stored for producers. */
  readonly onCommit?: (stats: CommitStats) => void
}

/**
 * Opens the log.
 * Errors: `failed_precondition` (the data directory is in use, or of another version), `corrupt` (damaged), `disk_full`,
 * `unavailable` (it cannot be read or written). The message says what to do.
 */
export function openEventLog(config: EventLogConfig, options: OpenEventLogOptions): Promise<EventLog> {
  const { logger, ...rest } = options
  const { dataDir, diskReserveBytes } = config
  return openEmbeddedLog({
    ...rest,
    dataDir,
    diskReserveBytes,
    onDiskFull: (isFull) => {
      if (isFull) logger.warn({ data_dir: dataDir }, 'the disk is full: publishes are refused until there is room')
      else logger.info({ data_dir: dataDir }, 'the disk has room again: publishes are taken')
    },
  })
}

/**
 * Looks a log over that nobody has open: what keeps it from starting, and what is in it. Reads every entry.
 * Errors: `failed_precondition` for a log of another version.
 */
export function inspectEventLog({ dataDir }: Pick<EventLogConfig, 'dataDir'>): LogInspection {
  return inspectLog(dataDir)
}

/**
 * Copies what can be read of a damaged log into a new file and keeps the old one. Answers null when there is nothing to
 * repair.
 * Errors: `failed_precondition` when the log is in use, or of another version; `disk_full` when the copy finds no room.
 */
export function repairEventLog({ dataDir }: Pick<EventLogConfig, 'dataDir'>): LogRepair | null {
  return repairLog(dataDir)
}
