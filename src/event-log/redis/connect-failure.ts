// Why a connection to Redis could not be made, with the fix. What it says holds no password.

import { MillraceError } from '../../errors.ts'

const untrusted = [
  'DEPTH_ZERO_SELF_SIGNED_CERT',
  'SELF_SIGNED_CERT_IN_CHAIN',
  'UNABLE_TO_GET_ISSUER_CERT',
  'UNABLE_TO_GET_ISSUER_CERT_LOCALLY',
  'UNABLE_TO_VERIFY_LEAF_SIGNATURE',
  'CERT_HAS_EXPIRED',
  'CERT_SIGNATURE_FAILURE',
]

/** `name` is `host:port`. Codes: `failed_precondition` where a setting must change, `unavailable` where waiting may help. */
export function toConnectFailure(thrown: unknown, name: string): MillraceError {
  const { message = String(thrown), code } = thrown as { readonly message?: string; readonly code?: string }
  const wrong = (text: string) =>
    new MillraceError('failed_precondition', `Redis at ${name} ${text}`, { cause: thrown })
  if (/^(?:WRONGPASS|NOAUTH|ERR AUTH|ERR invalid password)/.test(message)) {
    return wrong(
      'refuses the user or the password: correct it in MILLRACE_REDIS_URL (or in the file of MILLRACE_REDIS_URL_FILE)',
    )
  }
  if (/^NOPERM/.test(message)) return wrong(`lets this user not connect: ${message.replace(/^NOPERM\s*/, '')}`)
  if (code !== undefined && untrusted.includes(code)) {
    return wrong(`has a certificate that is not trusted (${code}): name its CA in NODE_EXTRA_CA_CERTS=/path/ca.pem`)
  }
  if (code === 'ERR_TLS_CERT_ALTNAME_INVALID') {
    return wrong('has a certificate for another name: use a name of the certificate in MILLRACE_REDIS_URL')
  }
  if (code !== undefined && /^(?:ERR_SSL_|EPROTO)/.test(code)) {
    return wrong('does not speak TLS: use redis:// instead of rediss://, or switch TLS on there')
  }
  const reason = code ?? message
  return new MillraceError(
    'unavailable',
    `Redis at ${name} cannot be reached (${reason}): start it, or correct MILLRACE_REDIS_URL`,
    {
      cause: thrown,
    },
  )
}
