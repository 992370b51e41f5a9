// Where the files of the log are.

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
