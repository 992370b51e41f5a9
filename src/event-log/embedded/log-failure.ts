// What a failure of the database means to the one who called the log.

import { MillraceError } from '../../errors.ts'
import type { SqliteFailure } from '../../lib/sqlite/failure.ts'
import { logFiles } from './log-files.ts'
import { logFormatVersion } from './log-format.ts'

const repairAdvice = 'Run "millrace doctor --repair": it copies what can be read and keeps the old file'

/** The error that opening a log ends with. `holder` says who has the data directory, when it is in use. */
export function openingError(failure: SqliteFailure, dataDir: string, holder: string): MillraceError {
  const options = { cause: failure }
  switch (failure.kind) {
    case 'locked':
      return new MillraceError(
        'failed_precondition',
        `the data directory ${dataDir} is in use by ${holder}; stop it, or set MILLRACE_DATA_DIR to another directory`,
        options,
      )
    case 'damaged':
      return new MillraceError('corrupt', `${failure.message}. ${repairAdvice}`, options)
    case 'full':
      return new MillraceError(
        'disk_full',
        `the disk of the data directory ${dataDir} is full; make room on it`,
        options,
      )
    default:
      return new MillraceError(
        'unavailable',
        `the log in the data directory ${dataDir} (MILLRACE_DATA_DIR) could not be opened: ${failure.message}`,
        options,
      )
  }
}

/** The error of a log that another version has written. */
export function otherFormatError(formatVersion: number, dataDir: string): MillraceError {
  return new MillraceError(
    'failed_precondition',
    `${logFiles(dataDir).database} has format version ${formatVersion}; this version of Millrace reads ` +
      `${logFormatVersion}. Start the ${formatVersion > logFormatVersion ? 'newer' : 'older'} version that wrote it, or set MILLRACE_DATA_DIR to another directory. Nothing was changed`,
  )
}

/** The reason why a running log has ended. */
export function finalError(failure: SqliteFailure): MillraceError {
  // What it writes comes from it alone: a row that its own table refuses was read from a damaged one.
  if (failure.kind === 'damaged' || failure.kind === 'row') {
    return new MillraceError('corrupt', `${failure.message}. ${repairAdvice}`, { cause: failure })
  }
  return new MillraceError('unavailable', `the log has failed: ${failure.message}`, { cause: failure })
}

/** What every call answers once the log has ended. */
export function unknownOutcome(cause: unknown): MillraceError {
  return new MillraceError('unavailable', 'the log has failed; what was under way has an unknown outcome', { cause })
}

export function diskFull(): MillraceError {
  return new MillraceError('disk_full', 'the disk is full: the log keeps its reserve for what it has accepted', {
    retryAfterMs: 1000,
  })
}

export function closed(): MillraceError {
  return new MillraceError('unavailable', 'the log is closed')
}
