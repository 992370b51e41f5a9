// Parses MILLRACE_POSTGRES_URL: postgres://[user:password@][host[:5432]]/database[?parameters]
//
// The host may be the directory of a Unix socket: `?host=/run/postgresql`, or percent-encoded in its place.

import { MillraceError } from '../errors.ts'

export interface PostgresTarget {
  /** The URL without the parameters that the other fields stand for. */
  readonly url: string
  /** Timeouts that the URL sets, in milliseconds; 0 means none. */
  readonly timeouts: Readonly<Partial<Record<TimeoutParameter, number>>>
  /** Connect without TLS when the server offers none. */
  readonly isTlsOptional: boolean
}

export const timeoutParameters = ['statement_timeout', 'lock_timeout', 'idle_in_transaction_session_timeout'] as const
export type TimeoutParameter = (typeof timeoutParameters)[number]

const optionalTls = ['prefer', 'allow']
const tlsModes = ['disable', ...optionalTls, 'require', 'verify-ca', 'verify-full', 'no-verify']

/** Throws `failed_precondition`; the message never shows a password. */
export function readPostgresUrl(text: string): PostgresTarget {
  if (!/^postgres(ql)?:\/\//.test(text)) throw wrong('it must begin with postgres://')
  // URL refuses a user without a host, which is how libpq names a Unix socket: postgres://user@/database?host=/run
  if (!URL.canParse(text.replace('@/', '@host/'))) {
    throw wrong('it is not a URL; characters such as @ : / # in a password must be percent-encoded')
  }
  const [, base = '', query = ''] = /^([^?]*)\??(.*)$/s.exec(text) ?? []
  const parameters = new URLSearchParams(query)
  const timeouts: Partial<Record<TimeoutParameter, number>> = {}
  for (const name of timeoutParameters) {
    const value = parameters.get(name)
    if (value === null) continue
    if (!/^\d{1,9}$/.test(value)) throw wrong(`${name} must be a whole number of milliseconds`)
    timeouts[name] = Number(value)
    parameters.delete(name)
  }
  const isTlsOptional = readTlsMode(parameters)
  const rest = parameters.toString()
  return { url: rest === '' ? base : `${base}?${rest}`, timeouts, isTlsOptional }
}

/** Returns whether TLS is optional. Leaves only modes in the parameters that the driver applies without a warning. */
function readTlsMode(parameters: URLSearchParams): boolean {
  const mode = parameters.get('sslmode')
  if (mode === null) return false
  if (!tlsModes.includes(mode)) throw wrong(`sslmode must be one of ${tlsModes.join(', ')}`)
  const isOptional = optionalTls.includes(mode)
  if (isOptional) parameters.delete('sslmode')
  else if (mode === 'require' || mode === 'verify-ca') parameters.set('sslmode', 'verify-full')
  return isOptional
}

function wrong(what: string): MillraceError {
  return new MillraceError('failed_precondition', `the PostgreSQL URL is invalid: ${what}`, {
    field: 'MILLRACE_POSTGRES_URL',
  })
}
