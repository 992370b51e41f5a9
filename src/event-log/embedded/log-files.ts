// Where the files of the log are.

import { statSync } from 'node:fs'
import { join } from 'node:path'

export interface LogFiles {
  readonly database: string
  readonly mark: string
  /** A copy of the WAL with which the log was first refused. A repair puts it beside the old database. */
  readonly refusedWal: string
  /** Who has the data directory: {pid, since}. */
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

/** What the database takes, with what is still in its WAL; null when the system does not say, which is no failure. */
export function logBytes({ database }: LogFiles): number | null {
  try {
    const sizes = [database, `${database}-wal`].map((path) => statSync(path, { throwIfNoEntry: false })?.size ?? 0)
    return sizes.reduce((sum, size) => sum + size, 0)
  } catch {
    return null
  }
}
