// Calls by pages of other origins, those that MILLRACE_CORS_ORIGINS names (https://fetch.spec.whatwg.org/#http-cors-protocol).
//
// Not its job: refusing the others (foreign-site.ts).

import type { FastifyInstance, FastifyReply } from 'fastify'

const exposedHeaders = [
  ...[
    'x-request-id',
    'retry-after',
    'location',
    'preference-applied',
    'www-authenticate',
    'accept-encoding',
    'ratelimit',
    'ratelimit-policy',
  ],
  ...['millrace-cursor', 'millrace-subscriber-id', 'millrace-persistence', 'millrace-request-id', 'millrace-attempts'],
].join(', ')

/** A browser asks again after so many seconds. */
const preflightMaxAge = '600'

/** Lets the page that has sent the request read the answer, if its origin is one of these. */
export function allowOrigin(origin: string | undefined, reply: FastifyReply, origins: ReadonlySet<string>): void {
  if (origins.size > 0) reply.header('vary', 'Origin')
  if (origin === undefined || !origins.has(origin)) return
  reply.headers({ 'access-control-allow-origin': origin, 'access-control-expose-headers': exposedHeaders })
}

/** Cookies are not allowed: a page of another origin sends a key or a ticket. */
export function addPreflightRoute(app: FastifyInstance): void {
  app.options('/v1/*', async (request, reply) => {
    reply.headers({
      'access-control-allow-methods': 'GET, HEAD, POST, DELETE',
      'access-control-allow-headers': request.headers['access-control-request-headers'] ?? '',
      'access-control-max-age': preflightMaxAge,
    })
    return reply.code(204).send()
  })
}
