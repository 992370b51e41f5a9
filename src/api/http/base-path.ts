// The path under which clients see this server, where a proxy serves it under one.

import type { IncomingHttpHeaders } from 'node:http'

declare module 'fastify' {
  interface FastifyRequest {
    /** What stands before the path of each route for the client that sends it: '', or as in `/events-api`. */
    prefix: string
  }
}

const maxPrefixLength = 200
const prefixPattern = /^(?:\/(?!\.{1,2}(?:\/|$))[A-Za-z0-9._~-]+)+\/?$/

/** The path of a request without the base path, for proxies that leave it there. Others have taken it off. */
export function withoutBasePath(url: string, basePath: string): string {
  if (!url.startsWith(basePath)) return url
  const rest = url.slice(basePath.length)
  if (rest === '' || rest.startsWith('?')) return `/${rest}`
  return rest.startsWith('/') ? rest : url
}

/**
 * What the proxy says in X-Forwarded-Prefix goes before the base path; what is no path is ignored. A client that sends the header itself
 * changes the links in its own answers only.
 */
export function prefixOf(headers: IncomingHttpHeaders, basePath: string): string {
  const given = headers['x-forwarded-prefix']
  if (typeof given !== 'string' || given.length > maxPrefixLength || !prefixPattern.test(given)) return basePath
  return given.replace(/\/$/, '')
}
