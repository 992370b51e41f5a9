// The paths of the log files.

import { statSync } from 'node:fs'
import { join } from 'node:path'

export interface LogFiles {
  readonly database: string
  readonly mark: string
  /** A copy of the WAL with which the log was first refused. A repair moves it beside the old database. */
  readonly refusedWal: string
  /** The process that holds the data directory, as JSON: {pid, since}. */
  readonly holder: string
}

export function logFiles(dataDir: string): LogFiles {
  return {
    database: join(dataDir, 'log.db'),
    refusedWal: join(dataDir, 'log.refused.db-wal'),
    mark: join(dataDir, 'log.mark'),
    holder: join(dataDir, 'holder.json'),
  }
}

/** The size of the database and its WAL, in bytes; null when it cannot be read, which is not treated as a failure. */
export function logBytes({ database }: LogFiles): number | null {
  try {
    const sizes = [database, `${database}-wal`].map((path) => statSync(path, { throwIfNoEntry: false })?.size ?? 0)
    return sizes.reduce((sum, size) => sum + size, 0)
  } catch {
    return null
  }
}
