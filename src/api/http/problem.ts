// Errors over HTTP: application/problem+json (RFC 9457), with Millrace's error code and the rejections.

import type { FastifyReply } from 'fastify'
import { type ErrorCode, errorCodes, MillraceError } from '../../errors.ts'
import type { Rejection } from '../../pipeline/pipeline.ts'
import { defaultRetryAfterMs, retryAfterMsOf } from '../../wire/publish.ts'
import { codeOfHttpStatus, httpStatusOf } from '../status.ts'

declare module 'fastify' {
  interface FastifyReply {
    /** Why the request failed, for the log. */
    failure: MillraceError | null
  }
}

export const problemContentType = 'application/problem+json'

export interface Problem {
  readonly status: number
  readonly error: MillraceError
  /** Additional headers. */
  readonly headers?: Readonly<Record<string, string>>
  /** Additional members, in snake_case. */
  readonly members?: Readonly<Record<string, unknown>>
}

export function problemOf(error: MillraceError): Problem {
  // A slow body is the caller's fault: 408. A slow answer is the server's: 504.
  const status = error.code === 'deadline_exceeded' && error.field === 'body' ? 408 : httpStatusOf(error.code)
  return { status, error }
}

/** The problem for a thrown value: errors of the library have an HTTP status, anything else is an internal error. */
export function problemOfThrown(thrown: unknown): Problem {
  if (thrown instanceof MillraceError) return problemOf(thrown)
  const { statusCode, message } = thrown as { statusCode?: unknown; message?: unknown }
  if (typeof statusCode === 'number' && statusCode >= 400 && statusCode < 500) {
    return { status: statusCode, error: new MillraceError(codeOfHttpStatus(statusCode), String(message)) }
  }
  return problemOf(new MillraceError('internal', 'an internal error occurred', { cause: thrown }))
}

export function sendProblem(reply: FastifyReply, { status, error, headers = {}, members = {} }: Problem): FastifyReply {
  reply.failure = error
  // Node knows no phrase for it.
  if (status === 499) reply.raw.statusMessage = 'Client Closed Request'
  reply.code(status).headers(headers).header('content-type', problemContentType)
  if (status === 429 || status === 503) {
    reply.header('retry-after', String(Math.ceil((error.retryAfterMs ?? defaultRetryAfterMs) / 1000)))
  }
  // Sent as bytes: for a string fastify would add a charset, which this media type does not have.
  return reply.send(
    Buffer.from(
      JSON.stringify({
        ...problemMembers(status, error),
        instance: `urn:millrace:request:${reply.request.id}`,
        ...members,
      }),
    ),
  )
}

/** The members that every problem has. */
export function problemMembers(status: number, error: MillraceError): Record<string, unknown> {
  const { code, message, field, taken } = error
  return {
    type: `urn:millrace:error:${code}`,
    title: errorCodes[code].title,
    status,
    detail: message,
    code,
    ...(field === undefined ? {} : { field }),
    ...taken,
  }
}

/** A rejection in JSON; `retry_after` in seconds. */
export function rejectionJson(rejection: Rejection): {
  index: number
  count?: number
  id: string
  code: ErrorCode
  message: string
  retry_after?: number
} {
  const { index, count, id, code, message } = rejection
  const retryAfterMs = retryAfterMsOf(rejection)
  return {
    index,
    ...(count !== undefined && { count }),
    id,
    code,
    message,
    ...(retryAfterMs !== undefined && { retry_after: retryAfterMs / 1000 }),
  }
}
