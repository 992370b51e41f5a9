// The routes of requests: send one, and read the reply to an earlier one. How long a call waits is in its header Prefer
// (RFC 7240).

import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { MillraceError, toMillraceError } from '../../errors.ts'
import { EventIdGenerator } from '../../event/event.ts'
import { maxRequestBytes } from '../../event/request.ts'
import type { RequestAnswer } from '../../pipeline/requests.ts'
import { defaultRequestMs, maxRequestMs } from '../request-wait.ts'
import { answerInTime } from './answer-in-time.ts'
import { readBody } from './body-chunks.ts'
import type { HttpTimes } from './http-times.ts'
import { problemOf, sendProblem } from './problem.ts'
import { readQuery } from './query.ts'

/** The first probe of a connection that was closed is answered with its reset, on which the second one fails. */
const probeEveryMs = 1000

const idHeader = 'millrace-request-id'

export function addRequestRoutes(app: FastifyInstance, times: HttpTimes): void {
  const ids = new EventIdGenerator()
  app.post<{ Params: { type: string } }>('/v1/requests/:type', async (request, reply) => {
    readQuery(request.query, [])
    const { type } = request.params
    const { isAsync, waitMs } = preferenceOf(request)
    const requestId = request.headers[idHeader]?.toString() || ids.next()
    const message = {
      ...{ type, requestId, attributes: traceOf(request) },
      dataContentType: request.headers['content-type'] ?? '',
      data: await readBody(request.raw, maxRequestBytes, times.maxBodyMs, 'requests have no larger ones'),
      deadlineMs: isAsync ? null : (waitMs ?? defaultRequestMs),
      waitMs: isAsync ? (waitMs ?? 0) : null,
    }
    const location = `${request.prefix}/v1/requests/${encodeURIComponent(requestId)}?type=${encodeURIComponent(type)}`
    const longestMs = (waitMs ?? defaultRequestMs) + times.maxAnswerMs
    try {
      const answer = await answerInTime(
        request.caller.pipeline.requests.request(message, { signal: goneSignalOf(reply) }),
        longestMs,
      )
      if (answer.stage !== 'replied') reply.header('location', location)
      if (isAsync || waitMs !== null) reply.header('preference-applied', appliedOf(isAsync, waitMs))
      return send(reply, answer)
    } catch (thrown) {
      const error = toMillraceError(thrown)
      const headers = { [idHeader]: printable(requestId), ...(error.code === 'deadline_exceeded' ? { location } : {}) }
      return sendProblem(reply, { ...problemOf(error), headers })
    }
  })

  app.get<{ Params: { id: string } }>('/v1/requests/:id', async (request, reply) => {
    const { type = '' } = readQuery(request.query, ['type'])
    const { waitMs } = preferenceOf(request)
    const query = { requestId: request.params.id, type, waitMs: waitMs ?? 0 }
    const longestMs = query.waitMs + times.maxAnswerMs
    const answer = await answerInTime(
      request.caller.pipeline.requests.getReply(query, { signal: goneSignalOf(reply) }),
      longestMs,
    )
    if (waitMs !== null) reply.header('preference-applied', appliedOf(false, waitMs))
    return send(reply, answer)
  })
}

/** Null: no time is given. Throws `invalid_event` for a time that is none. */
export function preferenceOf({ headers }: FastifyRequest): {
  readonly isAsync: boolean
  readonly waitMs: number | null
} {
  const parts = (headers.prefer?.toString() ?? '').split(',').map((each) => each.split(';', 1)[0]!.split('='))
  const given = new Map(parts.map(([name = '', value = '']) => [name.trim().toLowerCase(), value.trim()]))
  const seconds = given.get('wait')?.replaceAll('"', '')
  if (seconds !== undefined && !/^\d{1,9}$/.test(seconds)) {
    const problem = 'prefer: wait takes a whole number of seconds, as in wait=10'
    throw new MillraceError('invalid_event', problem, { field: 'prefer' })
  }
  const waitMs = seconds === undefined ? null : Math.min(Number(seconds) * 1000, maxRequestMs)
  return { isAsync: given.has('respond-async'), waitMs }
}

function appliedOf(isAsync: boolean, waitMs: number | null): string {
  return [...(isAsync ? ['respond-async'] : []), ...(waitMs === null ? [] : [`wait=${waitMs / 1000}`])].join(', ')
}

/** The trace that the call belongs to, as attributes. */
function traceOf({ headers }: FastifyRequest): Record<string, string> {
  const names = ['traceparent', 'tracestate']
  return Object.fromEntries(
    names.flatMap((name) => (headers[name] === undefined ? [] : [[name, String(headers[name])]])),
  )
}

/**
 * Aborts when the client has gone, so that nothing waits for it; the request goes on. One that only ends its side, as
 * `nc -N` does, still gets its answer. Which of the two it was shows when something is sent: an interim answer (102), which
 * HTTP/1.0 does not know.
 */
export function goneSignalOf({ raw, request }: FastifyReply): AbortSignal {
  const gone = new AbortController()
  const { socket, httpVersion } = request.raw
  let probes: NodeJS.Timeout | undefined
  const probe = () => {
    if (httpVersion !== '1.0') probes = setInterval(() => raw.headersSent || raw.writeProcessing(), probeEveryMs)
  }
  if (socket.readableEnded) probe()
  else socket.once('end', probe)
  raw.once('close', () => {
    socket.off('end', probe)
    clearInterval(probes)
    if (!raw.writableFinished) gone.abort()
  })
  return gone.signal
}

function send(reply: FastifyReply, { requestId, stage, reply: answer }: RequestAnswer): FastifyReply {
  reply.header(idHeader, requestId)
  if (answer === null) return reply.code(202).send({ request_id: requestId, stage })
  reply.header('millrace-attempts', answer.attempts)
  const { data, dataContentType } = answer
  if (dataContentType !== '') reply.header('content-type', printable(dataContentType))
  // A Buffer: for text fastify would choose a charset.
  return reply.send(Buffer.from(data.buffer, data.byteOffset, data.byteLength))
}

/** What a header can hold: a caller or a worker may have given anything. */
function printable(text: string): string {
  return text.replace(/[^ -~]/g, '?')
}
