// The errors that callers of the log get for failures of the database.

import { MillraceError } from '../../../errors.ts'
import type { SqliteFailure } from '../../../lib/sqlite/failure.ts'
import { diskFull } from '../disk-full.ts'
import { logFiles } from '../file/log-files.ts'
import { logFormatVersion } from '../file/log-format.ts'

const repairAdvice = 'Run "millrace doctor --repair": it copies the readable data into a new file and keeps the old one'

/** The error of a log that could not be opened. `holder` describes the process that uses the data directory, if any. */
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
        `the disk of the data directory ${dataDir} (MILLRACE_DATA_DIR) is full; free space on it`,
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

/** The error of a log in the format of another version. */
export function otherFormatError(formatVersion: number, dataDir: string): MillraceError {
  return new MillraceError(
    'failed_precondition',
    `${logFiles(dataDir).database} has format version ${formatVersion}; this version of Millrace reads ` +
      `${logFormatVersion}. Start the ${formatVersion > logFormatVersion ? 'newer' : 'older'} version that wrote it, or set MILLRACE_DATA_DIR to another directory. Nothing was changed`,
  )
}

/** The permanent error of a running log. */
export function finalError(failure: SqliteFailure): MillraceError {
  // The log writes only its own rows, so a row that its table refuses was derived from damaged data.
  if (failure.kind === 'damaged' || failure.kind === 'row') {
    return new MillraceError('corrupt', `${failure.message}. ${repairAdvice}`, { cause: failure })
  }
  // Closing has waited for space long enough.
  if (failure.kind === 'full') return diskFull()
  return new MillraceError('unavailable', `the log has failed: ${failure.message}`, { cause: failure })
}

/** The error of every call after the log has failed. */
export function unknownOutcome(cause: unknown): MillraceError {
  return new MillraceError('unavailable', 'the log has failed; calls in flight have an unknown outcome', { cause })
}

export function closed(): MillraceError {
  return new MillraceError('unavailable', 'the log is closed')
}
