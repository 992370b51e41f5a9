// The key that a call brings: `authorization: Bearer <key>` (RFC 6750, section 2.1), in a header or in metadata.

const bearer = /^bearer +(\S+) *$/i
const usual = 'Bearer '

/** The key, not yet checked; null when none was sent. */
export function bearerOf(authorization: string | undefined): string | null {
  if (authorization === undefined) return null
  // As nearly all are sent: the expression takes as long as the check of the key.
  if (authorization.startsWith(usual) && !authorization.includes(' ', usual.length)) {
    return authorization.length === usual.length ? null : authorization.slice(usual.length)
  }
  return bearer.exec(authorization)?.[1] ?? null
}
