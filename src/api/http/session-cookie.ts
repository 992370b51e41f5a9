// The cookie of a session (RFC 6265): the browser keeps it from the code of every page.

import type { IncomingHttpHeaders } from 'node:http'

const name = 'millrace-session'
const pattern = new RegExp(`(?:^|; *)${name}=([^;]+)`)

/** The session that a request brings, not yet checked. */
export function sessionOf({ cookie }: IncomingHttpHeaders): string | null {
  return cookie === undefined ? null : (pattern.exec(cookie)?.[1] ?? null)
}

export interface SessionCookie {
  /** '' with 0 seconds: the browser forgets it. */
  readonly session: string
  readonly usableForSeconds: number
  /** Under which a browser sends it; '' for all. */
  readonly path: string
  /** Whether it is kept from connections without TLS. */
  readonly isSecure: boolean
}

/** The header `set-cookie`. */
export function sessionCookie({ session, usableForSeconds, path, isSecure }: SessionCookie): string {
  const parts = [
    `${name}=${session}`,
    `Path=${path || '/'}`,
    `Max-Age=${usableForSeconds}`,
    'HttpOnly',
    'SameSite=Strict',
  ]
  return [...parts, ...(isSecure ? ['Secure'] : [])].join('; ')
}
