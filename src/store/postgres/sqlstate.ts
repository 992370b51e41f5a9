// What PostgreSQL's error codes mean for a landing: the closed list of docs/decisions/0005-postgres-store.md.
// https://www.postgresql.org/docs/current/errcodes-appendix.html

import { DatabaseError } from 'pg'
import { MillraceError } from '../../errors.ts'

/**
 * `row`: about one row's data, when that row alone fails too. `taken`: a key is there already. `outage`: passes by itself.
 * `full`: the server has no room. `stopped`: a person has to act; no event is to blame.
 */
export type FailureKind = 'row' | 'taken' | 'outage' | 'full' | 'stopped'

const kindOfCode: Readonly<Record<string, FailureKind>> = {
  '23505': 'taken',
  // A row or an index entry that is too large; JSON that nests too deep.
  '54000': 'row',
  '54001': 'row',
  // Our own mistake in the COPY format.
  '22P04': 'stopped',
  '53100': 'full',
  '57P04': 'stopped',
  XX001: 'stopped',
  XX002: 'stopped',
}

const kindOfClass: Readonly<Record<string, FailureKind>> = {
  '22': 'row',
  '23': 'row',
  '08': 'outage',
  '25': 'outage',
  '26': 'outage',
  '40': 'outage',
  '53': 'outage',
  '55': 'outage',
  '57': 'outage',
  '58': 'outage',
  XX: 'outage',
  '0A': 'stopped',
  '21': 'stopped',
  '28': 'stopped',
  '3D': 'stopped',
  '3F': 'stopped',
  '42': 'stopped',
}

/** What an error of the driver means. One without a code comes from the connection. A code that is not listed: `outage`. */
export function failureKind(error: unknown): FailureKind {
  const code = sqlStateOf(error)
  if (code === null) return 'outage'
  return kindOfCode[code] ?? kindOfClass[code.slice(0, 2)] ?? 'outage'
}

/** The five characters, or null when the error does not come from the server. */
export function sqlStateOf(error: unknown): string | null {
  return error instanceof DatabaseError && error.code?.length === 5 ? error.code : null
}

/** As the contract of EventStore says it. Callers of the API may see the message. */
export function toStoreError(error: unknown): MillraceError {
  if (error instanceof MillraceError) return error
  const text = error instanceof Error ? describe(error) : String(error)
  switch (failureKind(error)) {
    case 'full':
      return new MillraceError('disk_full', `postgres has no room: ${text}`, { cause: error })
    case 'outage':
      return new MillraceError('unavailable', `postgres is not there: ${text}`, { cause: error })
    case 'row':
    case 'taken':
    case 'stopped':
      return new MillraceError('failed_precondition', `postgres refuses: ${text}`, { cause: error })
  }
}

function describe(error: Error): string {
  const code = sqlStateOf(error)
  // Several addresses of one name: the message is empty then, and each has its own.
  const text = error instanceof AggregateError ? error.errors.map(({ message }) => message).join('; ') : error.message
  return code === null ? text : `${code}: ${text}`
}
