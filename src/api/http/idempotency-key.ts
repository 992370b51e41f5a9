// Idempotency-Key of administrative POSTs: reads the header and the body, and answers again what was answered.

import { createHash } from 'node:crypto'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { type ErrorCode, MillraceError } from '../../errors.ts'
import { limits } from '../../event/event.ts'
import { type Chunks, decodedBody, readBody } from './body-chunks.ts'
import type { HttpTimes } from './http-times.ts'
import { type Answer, IdempotentAnswers, type KeyedRequest } from './idempotent-answers.ts'
import { sendProblem } from './problem.ts'

declare module 'fastify' {
  interface FastifyRequest {
    /** Set for a request whose answer is kept. */
    keyed: KeyedRequest | null
  }
}

const field = 'idempotency-key'
/** A string of RFC 8941, or plain text, as many clients send it. */
const keyPattern = /^(?:"([ !#-[\]-~]{1,255})"|([!#-[\]-~]{1,255}))$/

/** Headers that belong to the answer itself, not to one request. */
const keptHeaders = ['content-type', 'cache-control', 'location']

export function keepIdempotentAnswers(app: FastifyInstance, { maxBodyMs }: HttpTimes): void {
  const answers = new IdempotentAnswers(() => performance.now())
  app.decorateRequest('keyed', null)
  app.addHook('preHandler', async (request, reply) => {
    if (request.headers[field] === undefined || !isAdministrative(request)) return
    const keyed = await keyedRequestOf(request, maxBodyMs)
    let answer: Answer | null
    try {
      answer = answers.begin(keyed)
    } catch (thrown) {
      const error = thrown as MillraceError
      return sendProblem(reply, { status: error.code === 'already_exists' ? 409 : 422, error })
    }
    if (answer === null) {
      request.keyed = keyed
      return
    }
    return reply.code(answer.status).headers(answer.headers).send(answer.payload)
  })
  app.addHook('onSend', async (request, reply, payload) => {
    if (request.keyed !== null) answers.end(request.keyed, answerOf(reply, payload))
  })
}

function isAdministrative({ method, routeOptions }: FastifyRequest): boolean {
  const { need } = routeOptions.config
  return method === 'POST' && (need === 'operate' || need === 'admin')
}

async function keyedRequestOf(request: FastifyRequest, maxBodyMs: number): Promise<KeyedRequest> {
  const { raw, headers, caller, routeOptions, url } = request
  const [, quoted, plain] = keyPattern.exec(headers[field]?.toString() ?? '') ?? []
  const key = quoted ?? plain
  if (key === undefined) {
    const problem = 'idempotency-key must be a quoted string of 1 to 255 printable characters, as in "8e03978e-40d5"'
    throw new MillraceError('invalid_event', problem, { field })
  }
  const body = await readBody(raw, limits.maxMessageBytes, maxBodyMs)
  Object.assign(raw, { [decodedBody]: new WholeBody(body) })
  // A gateway knows its callers by their keys alone.
  const sender = createHash('sha256').update(headers.authorization ?? '')
  const id = [caller.grant.keyId, sender.digest('base64'), routeOptions.url, key].join('\n')
  const hash = createHash('sha256')
    .update(`${url}\n${headers['content-type'] ?? ''}\n`)
    .update(body)
  return { id, fingerprint: hash.digest('base64') }
}

/** Nothing was done, and a gateway learns of it from its server. */
const refusals: readonly ErrorCode[] = ['unauthenticated', 'permission_denied']

/** Null: the request may be done again, because its outcome is unknown or another try may end otherwise. */
function answerOf(reply: FastifyReply, payload: unknown): Answer | null {
  const { failure } = reply
  if (failure !== null && (failure.retryable || failure.outcomeUnknown || refusals.includes(failure.code))) return null
  if (typeof payload !== 'string' && !Buffer.isBuffer(payload)) return null
  const headers = keptHeaders.flatMap((name) => {
    const value = reply.getHeader(name)
    return value === undefined ? [] : [[name, String(value)] as const]
  })
  return { status: reply.statusCode, headers: Object.fromEntries(headers), payload }
}

/** A body that was read, for the route to read again. */
class WholeBody implements Chunks {
  #rest: Buffer | null

  constructor(body: Buffer) {
    this.#rest = body.length === 0 ? null : body
  }

  async next(): Promise<Buffer | null> {
    const body = this.#rest
    this.#rest = null
    return body
  }

  stop(): void {
    this.#rest = null
  }

  /** It is held already. */
  hold(): void {}
}
