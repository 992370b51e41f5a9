// Classifies PostgreSQL's SQLSTATEs for landing: the closed list of docs/decisions/0005-postgres-store.md.
// https://www.postgresql.org/docs/current/errcodes-appendix.html

import { DatabaseError } from 'pg'
import { MillraceError, toMillraceError } from '../../errors.ts'

/**
 * - `row`: caused by the data of one row, provided that this row also fails alone.
 * - `taken`: a key already exists.
 * - `timeout`: a statement or lock timeout; fewer rows at once may succeed.
 * - `outage`: temporary, ends without intervention.
 * - `full`: the server has no disk space.
 * - `stopped`: an operator has to act; not caused by an event.
 * - `unlisted`: not in the list, so it is retried for ever, counted and logged.
 */
export type FailureKind = 'row' | 'taken' | 'timeout' | 'outage' | 'full' | 'stopped' | 'unlisted'

/** A row was not inserted, and the server reports no error: a BEFORE trigger returned NULL. */
export const rowSkipped = {
  /** The SQL standard's SQLSTATE of an INSERT without rows; PostgreSQL does not report it. */
  databaseCode: '02000',
  message: 'a trigger on the table skipped the row',
} as const

const kindOfCode: Readonly<Record<string, FailureKind>> = {
  '23505': 'taken',
  // A row or an index entry is too large; JSON nests too deeply.
  '54000': 'row',
  '54001': 'row',
  '25P04': 'timeout',
  '57014': 'timeout',
  '55P03': 'timeout',
  '53100': 'full',
  // Read-only: another host may be the primary now.
  '25006': 'outage',
  '25P02': 'outage',
  '25P03': 'outage',
  '26000': 'outage',
  '55006': 'outage',
  '57P01': 'outage',
  '57P02': 'outage',
  '57P03': 'outage',
  XX000: 'outage',
  '0A000': 'stopped',
  '57P04': 'stopped',
  XX001: 'stopped',
  XX002: 'stopped',
  // Bugs in Millrace: equal keys in one statement, an invalid COPY format.
  '21000': 'stopped',
  '22P04': 'stopped',
}

const kindOfClass: Readonly<Record<string, FailureKind>> = {
  '22': 'row',
  '23': 'row',
  '08': 'outage',
  '40': 'outage',
  '53': 'outage',
  '58': 'outage',
  '28': 'stopped',
  '3D': 'stopped',
  '3F': 'stopped',
  '42': 'stopped',
}

/** PgBouncer reports nearly everything under this code. */
const protocolViolation = '08P01'
const refusedParameter = /^unsupported startup parameter\b/
/** What no waiting ends: a wrong parameter, mode, database, user or password. */
const poolerFault =
  /^unsupported startup parameter\b|^transaction blocks not allowed|^no such (database|user)|authentication failed$/

/** Classifies the driver's errors. */
export class FailureKinds {
  readonly #deadSqlstates: readonly string[]

  /** @param deadSqlstates further codes of kind `row`, set by the operator, for example those that triggers raise. */
  constructor(deadSqlstates: readonly string[] = []) {
    this.#deadSqlstates = deadSqlstates
  }

  /** An error without an SQLSTATE comes from the connection. */
  kindOf(error: unknown): FailureKind {
    const code = sqlStateOf(error)
    if (code === null) return isInsecure(error) ? 'stopped' : 'outage'
    if (code === protocolViolation && poolerFault.test((error as DatabaseError).message)) return 'stopped'
    if (this.#deadSqlstates.includes(code)) return 'row'
    return kindOfCode[code] ?? kindOfClass[code.slice(0, 2)] ?? 'unlisted'
  }

  /** Whether a row caused the error: its data, or its key, which another row has. */
  isRowFailure(error: unknown): error is DatabaseError {
    return ['row', 'taken'].includes(this.kindOf(error))
  }
}

const listed = new FailureKinds()

/** The SQLSTATE, or null if the error does not come from the server. */
export function sqlStateOf(error: unknown): string | null {
  return error instanceof DatabaseError && error.code?.length === 5 ? error.code : null
}

/** Whether a pooler refuses one of these start parameters. */
export function isRefusedParameter(error: unknown, names: readonly string[]): boolean {
  if (sqlStateOf(error) !== protocolViolation) return false
  const { message } = error as DatabaseError
  return refusedParameter.test(message) && names.some((name) => message.includes(name))
}

/**
 * Converts a driver error to the errors of the EventStore contract. API callers may see the message.
 * @param lockHolder who held the lock that a statement has waited for, if this is known.
 */
export function toStoreError(error: unknown, lockHolder: string | null = null): MillraceError {
  if (error instanceof MillraceError) return error
  // A bug in Millrace, not a connection error: retrying does not help.
  if (error instanceof TypeError || error instanceof RangeError) return toMillraceError(error)
  const text = error instanceof Error ? describe(error) : String(error)
  if (lockHolder !== null || sqlStateOf(error) === '55P03') {
    const cause = lockHolder === null ? text : `${lockHolder}: ${text}`
    return new MillraceError('unavailable', `postgres waits for a lock: ${cause}`, { cause: error })
  }
  switch (listed.kindOf(error)) {
    case 'full':
      return new MillraceError('disk_full', `postgres has no disk space: ${text}`, { cause: error })
    case 'timeout':
      return new MillraceError('unavailable', `postgres timed out: ${text}`, { cause: error })
    case 'outage': {
      const failure = isUnreachable(error) ? 'is unreachable' : 'fails temporarily'
      return new MillraceError('unavailable', `postgres ${failure}: ${text}`, { cause: error })
    }
    case 'unlisted':
      return new MillraceError('unavailable', `postgres fails with an unlisted SQLSTATE: ${text}`, { cause: error })
    case 'row':
    case 'taken':
    case 'stopped': {
      const failure = isInsecure(error) ? 'cannot connect securely to postgres' : 'postgres refuses'
      return new MillraceError('failed_precondition', `${failure}: ${text}`, { cause: error })
    }
  }
}

/** Node's error codes for an untrusted certificate (https://nodejs.org/api/tls.html#x509-certificate-error-codes). */
const certificateFailure = /^(ERR_TLS_CERT|CERT_|DEPTH_ZERO_|SELF_SIGNED_|UNABLE_TO_|INVALID_CA|HOSTNAME_MISMATCH)/

/**
 * Whether the URL requires TLS and the server does not offer it or has an untrusted certificate, or a file of
 * certificates that the URL names cannot be read.
 */
function isInsecure(error: unknown): boolean {
  if (!(error instanceof Error)) return false
  if (isUnreadableFile(error)) return true
  const { code = '', message } = error as Error & { readonly code?: unknown }
  return certificateFailure.test(String(code)) || message === 'The server does not support SSL connections'
}

function isUnreadableFile(error: Error): boolean {
  const { code = '', syscall } = error as NodeJS.ErrnoException
  return code === 'EISDIR' || (syscall === 'open' && ['ENOENT', 'EACCES', 'ENOTDIR'].includes(code))
}

/** Whether the driver has stopped waiting for an answer on an open connection. */
export function isSilence(error: unknown): boolean {
  return error instanceof Error && error.message === 'Query read timeout'
}

/** The connection broke or was refused, or the server is starting, stopping or out of connections. */
function isUnreachable(error: unknown): boolean {
  return ['08', '53', '57'].includes(sqlStateOf(error)?.slice(0, 2) ?? '08')
}

/** For a failed system call on a connection only its code: the message contains the address, which callers must not see. */
function describe(error: Error & { readonly code?: unknown }): string {
  const { code, message } = error
  if (error instanceof DatabaseError) return `${code}: ${message}`
  if (isUnreadableFile(error)) return message
  return typeof code === 'string' && (message === '' || 'syscall' in error) ? code : message
}
