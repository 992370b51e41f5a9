// Creates the data directory and records which process holds it. The record is for people; the lock on log.db is what
// keeps a second process out.

import { accessSync, constants, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { MillraceError } from '../../../errors.ts'

/**
 * Creates the directory if missing. Throws `unavailable`, naming the directory, when it cannot be created or written.
 */
export function prepareDataDirectory(dataDir: string): void {
  try {
    mkdirSync(dataDir, { recursive: true })
    accessSync(dataDir, constants.R_OK | constants.W_OK | constants.X_OK)
  } catch (thrown) {
    throw new MillraceError(
      'unavailable',
      `the data directory ${dataDir} cannot be written: ${(thrown as Error).message}; ` +
        'set MILLRACE_DATA_DIR to a writable directory',
      { cause: thrown },
    )
  }
}

/** Describes the process that holds the directory, as text for messages. */
export function describeHolder(path: string): string {
  try {
    const { pid, since } = JSON.parse(readFileSync(path, 'utf8'))
    if (Number.isInteger(pid) && typeof since === 'string') return `process ${pid} (since ${since})`
  } catch {
    // The file is missing or half written: only the lock shows that a process holds the directory.
  }
  return 'another process'
}

export function writeHolder(path: string, nowMs: number): void {
  writeFileSync(path, `${JSON.stringify({ pid: process.pid, since: new Date(nowMs).toISOString() })}\n`)
}

export function removeHolder(path: string): void {
  rmSync(path, { force: true })
}
