// The data directory: made when it is missing, and marked with who has it. The mark is for people; what keeps a second
// process out is the lock on log.db.

import { accessSync, constants, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { MillraceError } from '../../errors.ts'

/** Makes the directory. Throws a MillraceError that names it when it cannot be made or written. */
export function prepareDataDirectory(dataDir: string): void {
  try {
    mkdirSync(dataDir, { recursive: true })
    accessSync(dataDir, constants.R_OK | constants.W_OK | constants.X_OK)
  } catch (thrown) {
    throw new MillraceError(
      'unavailable',
      `the data directory ${dataDir} cannot be written: ${(thrown as Error).message}; set MILLRACE_DATA_DIR to one that can`,
      { cause: thrown },
    )
  }
}

/** Says who has the directory, in words, as far as it is known. */
export function describeHolder(path: string): string {
  try {
    const { pid, since } = JSON.parse(readFileSync(path, 'utf8'))
    if (Number.isInteger(pid) && typeof since === 'string') return `process ${pid} (since ${since})`
  } catch {
    // Missing or half written: the lock alone says that somebody is there.
  }
  return 'another process'
}

export function writeHolder(path: string, nowMs: number): void {
  writeFileSync(path, `${JSON.stringify({ pid: process.pid, since: new Date(nowMs).toISOString() })}\n`)
}

export function removeHolder(path: string): void {
  rmSync(path, { force: true })
}
