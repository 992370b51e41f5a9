// The key that a call brings: `authorization: Bearer <key>` (RFC 6750, section 2.1), in a header or in metadata.

const bearer = /^bearer +(\S+) *$/i

/** The key, not yet checked; null when none was sent. */
export function bearerOf(authorization: string | undefined): string | null {
  return bearer.exec(authorization ?? '')?.[1] ?? null
}
