// Refuses what a page of another site makes a browser send.
//
// Without keys, all that reaches the port may read and delete, and a browser on this machine reaches loopback for every
// page that it shows: by a name of the page that resolves to 127.0.0.1 (DNS rebinding; the page then counts as
// same-origin, and only Host names it), or by a cross-site request.

import type { IncomingHttpHeaders } from 'node:http'
import { isIP } from 'node:net'
import { MillraceError } from '../../errors.ts'

const hostPattern = /^(?:\[([0-9a-f:.]+)\]|([a-z0-9._-]+))(?::\d{1,5})?$/

export interface OwnSite {
  /** What this server is called, in lower case; IP addresses and localhost are always allowed. Null: any, for keys protect the server. */
  readonly names: ReadonlySet<string> | null
  /** Other sites whose pages may call. */
  readonly origins: ReadonlySet<string>
}

/** Throws `permission_denied`, naming the header. */
export function refuseForeignSite(headers: IncomingHttpHeaders, { names, origins }: OwnSite): void {
  const host = headers.host?.toLowerCase()
  // Only HTTP/1.0 may omit it, which no browser speaks.
  if (host !== undefined && names !== null && !isOwnHost(host, names)) {
    throw refusal(
      'host',
      host,
      'is not a name of this server: use an IP address or localhost, or list the name in MILLRACE_ALLOWED_HOSTS',
    )
  }
  const { origin } = headers
  if (origin !== undefined && origins.has(origin)) return
  if (origin !== undefined && !isOrigin(origin, host)) {
    throw refusal(
      'origin',
      origin,
      'is another site than the host of the request: pages of other sites get no access, but those of MILLRACE_CORS_ORIGINS',
    )
  }
  const site = headers['sec-fetch-site']
  if (site === 'cross-site') throw refusal('sec-fetch-site', site, 'is refused: pages of other sites get no access')
}

/**
 * For requests that bring a cookie, which a browser adds to what any page sends: pages of this server alone may use it, not those of another
 * port or subdomain, nor of `MILLRACE_CORS_ORIGINS`. What changes something must prove where it comes from.
 * Throws `permission_denied`, naming the header.
 */
export function refuseOtherOrigin(method: string, headers: IncomingHttpHeaders): void {
  const { origin, host } = headers
  const site = headers['sec-fetch-site']?.toString()
  const problem = 'is not of this server: the cookie of a session is for its own pages, other callers send a key'
  if (origin !== undefined && !isOrigin(origin, host)) throw refusal('origin', origin, problem)
  // None: a person has typed the address.
  if (site !== undefined && site !== 'same-origin' && site !== 'none') throw refusal('sec-fetch-site', site, problem)
  if (method === 'GET' || method === 'HEAD' || origin !== undefined || site === 'same-origin') return
  throw new MillraceError(
    'permission_denied',
    'the header origin is missing: with the cookie of a session it is required',
    {
      field: 'origin',
    },
  )
}

function isOwnHost(host: string, ownNames: ReadonlySet<string>): boolean {
  const [, ipv6, name = ''] = hostPattern.exec(host) ?? []
  if (ipv6 !== undefined) return isIP(ipv6) !== 0
  return name === 'localhost' || ownNames.has(name) || isIP(name) !== 0
}

/** Whether the origin has the host and port of the request. A proxy may have ended TLS, so the scheme may differ. */
function isOrigin(origin: string, host: string | undefined): boolean {
  if (!URL.canParse(origin)) return false
  const { protocol, host: given } = new URL(origin)
  return host !== undefined && given !== '' && given === new URL(`${protocol}//${host}`).host
}

function refusal(header: string, value: string, problem: string): MillraceError {
  const shown = JSON.stringify(value.slice(0, 80))
  return new MillraceError('permission_denied', `the header ${header} is ${shown}, which ${problem}`, { field: header })
}
