// What PostgreSQL's error codes mean for a landing: the closed list of docs/decisions/0005-postgres-store.md.
// https://www.postgresql.org/docs/current/errcodes-appendix.html

import { DatabaseError } from 'pg'
import { MillraceError, toMillraceError } from '../../errors.ts'

/**
 * `row`: about one row's data, when that row alone fails too. `taken`: a key is there already. `timeout`: it took too long
 * or waited too long for a lock; less at once may get through. `outage`: passes by itself. `full`: the server has no room.
 * `stopped`: a person has to act; no event is to blame. `unlisted`: nobody knows, so it is tried for ever and said aloud.
 */
export type FailureKind = 'row' | 'taken' | 'timeout' | 'outage' | 'full' | 'stopped' | 'unlisted'

const kindOfCode: Readonly<Record<string, FailureKind>> = {
  '23505': 'taken',
  // A row or an index entry that is too large; JSON that nests too deep.
  '54000': 'row',
  '54001': 'row',
  '57014': 'timeout',
  '55P03': 'timeout',
  '53100': 'full',
  // Another host may be the primary now.
  '25006': 'outage',
  '25P02': 'outage',
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
  // Our own mistakes: equal keys in one statement, the COPY format.
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

/** Says what an error of the driver means. */
export class FailureKinds {
  readonly #deadSqlstates: readonly string[]

  /** @param deadSqlstates codes that are about one row, too: the operator knows the triggers that raise them. */
  constructor(deadSqlstates: readonly string[] = []) {
    this.#deadSqlstates = deadSqlstates
  }

  /** An error without a code comes from the connection. */
  kindOf(error: unknown): FailureKind {
    const code = sqlStateOf(error)
    if (code === null) return isInsecure(error) ? 'stopped' : 'outage'
    if (this.#deadSqlstates.includes(code)) return 'row'
    return kindOfCode[code] ?? kindOfClass[code.slice(0, 2)] ?? 'unlisted'
  }
}

const listed = new FailureKinds()

/** The five characters, or null when the error does not come from the server. */
export function sqlStateOf(error: unknown): string | null {
  return error instanceof DatabaseError && error.code?.length === 5 ? error.code : null
}

/** As the contract of EventStore says it. Callers of the API may see the message. */
export function toStoreError(error: unknown): MillraceError {
  if (error instanceof MillraceError) return error
  // A mistake of ours, not an answer of the connection: no waiting cures it.
  if (error instanceof TypeError || error instanceof RangeError) return toMillraceError(error)
  const text = error instanceof Error ? describe(error) : String(error)
  switch (listed.kindOf(error)) {
    case 'full':
      return new MillraceError('disk_full', `postgres has no room: ${text}`, { cause: error })
    case 'timeout':
      return new MillraceError('unavailable', `postgres is too slow: ${text}`, { cause: error })
    case 'outage': {
      const failure = isAway(error) ? 'is unreachable' : 'cannot do it now'
      return new MillraceError('unavailable', `postgres ${failure}: ${text}`, { cause: error })
    }
    case 'unlisted':
      return new MillraceError('unavailable', `postgres fails as nobody expected: ${text}`, { cause: error })
    case 'row':
    case 'taken':
    case 'stopped': {
      const failure = isInsecure(error) ? 'there is no secure connection to postgres' : 'postgres refuses'
      return new MillraceError('failed_precondition', `${failure}: ${text}`, { cause: error })
    }
  }
}

/** What Node says of a certificate that it does not trust (https://nodejs.org/api/tls.html#x509-certificate-error-codes). */
const certificateFailure = /^(ERR_TLS_CERT|CERT_|DEPTH_ZERO_|SELF_SIGNED_|UNABLE_TO_|INVALID_CA|HOSTNAME_MISMATCH)/

/** Whether the URL asks for TLS that this server does not offer, or that proves somebody else. */
function isInsecure(error: unknown): boolean {
  if (!(error instanceof Error)) return false
  const { code = '', message } = error as Error & { readonly code?: unknown }
  return certificateFailure.test(String(code)) || message === 'The server does not support SSL connections'
}

/** Connection broken or refused, or a server that starts, stops or has no room for one more. */
function isAway(error: unknown): boolean {
  return ['08', '53', '57'].includes(sqlStateOf(error)?.slice(0, 2) ?? '08')
}

/** Of a system call that failed only its code, for the message has the address, and callers read it. */
function describe(error: Error & { readonly code?: unknown }): string {
  const { code, message } = error
  if (error instanceof DatabaseError) return `${code}: ${message}`
  return typeof code === 'string' && (message === '' || 'syscall' in error) ? code : message
}
