// The routes of API keys: list, make and revoke them, and make a ticket with one.

import type { FastifyInstance } from 'fastify'
import * as v from 'valibot'
import { MillraceError } from '../../errors.ts'
import { formatRfc3339 } from '../../lib/rfc3339.ts'
import type { Scope } from '../../pipeline/keys.ts'
import { keyDescription } from '../../wire/keys.ts'
import { type AccessControl, keyField } from '../access.ts'
import { bearerOf } from '../bearer.ts'
import { answerInTime } from './answer-in-time.ts'
import type { HttpTimes } from './http-times.ts'
import type { PageSender } from './page-sender.ts'
import { limitParameter, readQuery } from './query.ts'
import { readSmallJson } from './small-json.ts'

const strings = 'must be an array of strings'
const list = v.nullish(v.array(v.string(strings), strings), null)
const wholeNumber = (unit: string) => v.nullish(v.number(`must be a number of ${unit}`), null)

export const keyBody = v.strictObject(
  {
    name: v.string('must be a string'),
    scopes: v.array(v.string(strings), strings),
    topics: list,
    types: list,
    rate_per_second: wholeNumber('events per second'),
    expires_in: wholeNumber('seconds'),
  },
  'is unknown or missing; a key has name, scopes, topics, types, rate_per_second, expires_in',
)
export const ticketBody = v.strictObject(
  { scopes: list, topics: list, types: list, usable_for: wholeNumber('seconds') },
  'is unknown; a ticket has scopes, topics, types, usable_for',
)

interface KeyRoute {
  readonly Params: { readonly id: string }
}

export function addKeyRoutes(app: FastifyInstance, access: AccessControl, pages: PageSender, times: HttpTimes): void {
  const { maxAnswerMs } = times
  app.get('/v1/keys', async (request, reply) => {
    const { limit, cursor } = readQuery(request.query, ['limit', 'cursor'])
    const read = async (stepLimit: number, from: string | undefined) => {
      const page = await request.caller.pipeline.keys.list({ limit: stepLimit, cursor: from ?? null })
      return {
        elements: page.keys.map((key) => [JSON.stringify(keyDescription.toJson(key))]),
        nextCursor: page.nextCursor,
      }
    }
    return await pages.send(reply, { name: 'keys', limit: limitParameter(limit), cursor, read })
  })

  app.post('/v1/keys', async (request, reply) => {
    const { name, scopes, topics, types, rate_per_second, expires_in } = await readSmallJson(request, keyBody, times)
    const limits = { topics, types, ratePerSecond: rate_per_second, expiresInSeconds: expires_in }
    const created = request.caller.pipeline.keys.create({ name, scopes: scopes as Scope[], ...limits })
    const { key, description } = await answerInTime(created, maxAnswerMs)
    return reply
      .code(201)
      .header('cache-control', 'no-store')
      .send({ key, ...keyDescription.toJson(description) })
  })

  app.delete<KeyRoute>('/v1/keys/:id', async (request) => {
    readQuery(request.query, [])
    const { id } = request.params
    await answerInTime(request.caller.pipeline.keys.revoke(id), maxAnswerMs)
    return { key_id: id }
  })

  app.post('/v1/tickets', async (request, reply) => {
    const { scopes, topics, types, usable_for } = await readSmallJson(request, ticketBody, times)
    const { keys } = request.caller.pipeline
    const key = bearerOf(request.headers.authorization)
    // With the cookie of a session the key is known.
    const grant = key === null ? await access.grantOf(request.caller) : await keys.check(key)
    if (grant === null) {
      const problem = 'a ticket is made with a key: send it as authorization: Bearer $MILLRACE_KEY'
      throw new MillraceError('unauthenticated', problem, key === null ? { field: keyField } : {})
    }
    const wanted = { scopes: scopes as Scope[] | null, topics, types, usableForSeconds: usable_for }
    const { ticket, usableUntilMicros } = await keys.createTicket(grant, wanted)
    const usable_until = formatRfc3339(usableUntilMicros)
    return reply.code(201).header('cache-control', 'no-store').send({ ticket, usable_until })
  })
}
