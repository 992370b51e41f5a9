// Where the files of the log are.

import { join } from 'node:path'

export interface LogFiles {
  readonly database: string
  readonly mark: string
  /** Who has the data directory: {pid, since}. */
  readonly holder: string
}

export function logFiles(dataDir: string): LogFiles {
  return {
    database: join(dataDir, 'log.db'),
    mark: join(dataDir, 'log.mark'),
    holder: join(dataDir, 'holder.json'),
  }
}
