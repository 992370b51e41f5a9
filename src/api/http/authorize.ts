// Checks the key of a request before its body is read, and says what was wrong as RFC 6750 asks.

import type { FastifyReply, FastifyRequest } from 'fastify'
import { MillraceError } from '../../errors.ts'
import { type AccessControl, type Caller, endedKey, endedKeyGraceMs, keyField, scopeField } from '../access.ts'
import type { Need } from '../scopes.ts'
import { refuseOtherOrigin } from './foreign-site.ts'
import type { Problem } from './problem.ts'
import { sessionOf } from './session-cookie.ts'

declare module 'fastify' {
  interface FastifyRequest {
    /** Who sends it, with the pipeline as that caller may use it. */
    caller: Caller
    /** Called when the key of the request has ended, a second before its connection is cut off. */
    onEndedKey: (failure: MillraceError) => void
  }
  interface FastifyContextConfig {
    /** What its caller needs. */
    need?: Need
    /** It answers, or begins to, before it asks the pipeline. */
    answersFirst?: boolean
  }
}

const keyInUrl = /[?&=]mr_[0-9A-Za-z]{12}_/

/** Errors: those of Access.authorize, `invalid_event` for a key in the URL. */
export async function authorize(access: AccessControl, request: FastifyRequest, reply: FastifyReply): Promise<void> {
  const { need = 'open', answersFirst = false } = request.routeOptions.config
  if (keyInUrl.test(request.url)) {
    const problem =
      'a key is in the URL, where logs of proxies and browsers keep it: revoke it, and send keys as authorization: Bearer $MILLRACE_KEY'
    throw new MillraceError('invalid_event', problem)
  }
  const checked = callerOf(access, request, need)
  // Nearly every key was checked before: then nothing waits.
  request.caller = checked instanceof Promise ? await checked : checked
  if (answersFirst) await access.confirm(request.caller)
  if (!access.needsKeys || need === 'open') return
  const stopListening = access.onEnded(request.caller, () => {
    request.onEndedKey(endedKey())
    const timer = setTimeout(() => reply.raw.destroy(), endedKeyGraceMs)
    reply.raw.once('close', () => clearTimeout(timer))
  })
  reply.raw.once('close', stopListening)
}

/** By the ticket in the URL, else by the header, else by the cookie. Errors: as `authorize`, and those of `refuseOtherOrigin`. */
export function callerOf(access: AccessControl, request: FastifyRequest, need: Need): Caller | Promise<Caller> {
  const { authorization, traceparent, tracestate } = request.headers
  const origin = { requestId: request.id, traceparent: traceparent?.toString(), tracestate: tracestate?.toString() }
  if (need === 'open') return access.authorize(undefined, need, origin)
  const ticket = ticketOf(request)
  if (ticket !== null) return access.authorizeTicket(ticket, need, origin)
  const session = access.needsKeys && authorization === undefined ? sessionOf(request.headers) : null
  if (session === null) return access.authorize(authorization, need, origin)
  refuseOtherOrigin(request.method, request.headers)
  return access.authorizeSession(session, need, origin)
}

/** The ticket of a request that can send no headers, as those of EventSource. It is taken out of the query. */
function ticketOf(request: FastifyRequest): string | null {
  const query = request.query as Record<string, unknown>
  const { ticket } = query
  if (request.method !== 'GET' || typeof ticket !== 'string') return null
  delete query.ticket
  return ticket
}

/** RFC 6750, section 3: no code when nothing was sent, the same one for every wrong key, the scope when only that is missing. */
export function challengeOf(request: FastifyRequest, { status, error }: Problem): Record<string, string> {
  const challenge = (parts: string) => ({ 'www-authenticate': `Bearer realm="millrace"${parts}` })
  if (status === 401) return challenge(error.field === keyField ? '' : ', error="invalid_token"')
  if (status !== 403 || error.field !== scopeField) return {}
  return challenge(`, error="insufficient_scope", scope="${request.routeOptions.config.need}"`)
}
