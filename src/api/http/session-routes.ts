// The session of a browser: log in with a key, log out, and what the session may do.
//
// All three routes are open and have the same answer, so that a page knows whether to ask for a key.

import type { FastifyInstance, FastifyRequest } from 'fastify'
import * as v from 'valibot'
import { MillraceError } from '../../errors.ts'
import type { Grant } from '../../pipeline/keys.ts'
import { type AccessControl, wrongKey } from '../access.ts'
import { answerInTime } from './answer-in-time.ts'
import { callerOf } from './authorize.ts'
import type { HttpTimes } from './http-times.ts'
import { readQuery } from './query.ts'
import { sessionCookie } from './session-cookie.ts'
import { readSmallJson } from './small-json.ts'

export interface SessionParts {
  readonly access: AccessControl
  readonly times: HttpTimes
  /** Whether this server speaks TLS. */
  readonly isEncrypted: boolean
}

export const sessionBody = v.strictObject(
  { key: v.string('must be a string') },
  'is unknown or missing; a login has a key',
)

export function addSessionRoutes(app: FastifyInstance, { access, times, isEncrypted }: SessionParts): void {
  const answer = (grant: Grant | null) => ({ needs_key: access.needsKeys, key: grant && keyJson(grant) })
  // Where a proxy ends TLS, the origin of the page tells it.
  const isSecure = ({ headers }: FastifyRequest) => isEncrypted || headers.origin?.startsWith('https:') === true

  app.get('/v1/session', async (request, reply) => {
    const grant = access.needsKeys ? await grantOf(access, request) : null
    readQuery(request.query, [])
    return reply.header('cache-control', 'no-store').send(answer(grant))
  })

  app.post('/v1/session', async (request, reply) => {
    const { key } = await readSmallJson(request, sessionBody, times)
    reply.header('cache-control', 'no-store')
    if (!access.needsKeys) return answer(null)
    const session = await answerInTime(request.caller.pipeline.keys.createSession(key), times.maxAnswerMs)
    if (session === null) throw wrongKey()
    return reply
      .header('set-cookie', sessionCookie({ ...session, path: request.prefix, isSecure: isSecure(request) }))
      .send(answer(session.grant))
  })

  app.delete('/v1/session', async (request, reply) => {
    readQuery(request.query, [])
    const cookie = sessionCookie({
      session: '',
      usableForSeconds: 0,
      path: request.prefix,
      isSecure: isSecure(request),
    })
    return reply.headers({ 'cache-control': 'no-store', 'set-cookie': cookie }).send(answer(null))
  })
}

/** That of the key, the ticket or the session of the request; null without a valid one. */
async function grantOf(access: AccessControl, request: FastifyRequest): Promise<Grant | null> {
  try {
    return await access.grantOf(await callerOf(access, request, 'any'))
  } catch (thrown) {
    if (thrown instanceof MillraceError && thrown.code === 'unauthenticated') return null
    throw thrown
  }
}

function keyJson({ name, scopes, topics, types }: Grant): object {
  return { name, scopes, topics, types }
}
