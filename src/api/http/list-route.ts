// GET /v1/events: the landed events, newest first.

import type { FastifyInstance } from 'fastify'
import type { Pipeline } from '../../pipeline.ts'
import type { EventQuery } from '../../store/event-store.ts'
import { answerInTime } from './answer-in-time.ts'
import { eventPageJson } from './event-json.ts'
import { readQuery, wrongParameter } from './query.ts'
import { parseRfc3339 } from './rfc3339.ts'

const defaultLimit = 100
const maxLimit = 1000

export function addListRoute(app: FastifyInstance, pipeline: Pipeline, maxAnswerMs: number): void {
  app.get('/v1/events', async (request, reply) => {
    const page = await answerInTime(pipeline.listEvents(eventQueryOf(request.query)), maxAnswerMs)
    return reply.header('content-type', 'application/json; charset=utf-8').send(eventPageJson(page))
  })
}

function eventQueryOf(given: unknown): EventQuery {
  const { type, source, since, until, limit, cursor } = readQuery(given, [
    'type',
    'source',
    'since',
    'until',
    'limit',
    'cursor',
  ])
  return {
    limit: limit === undefined ? defaultLimit : limitOf(limit),
    ...(type === undefined ? {} : { type }),
    ...(source === undefined ? {} : { source }),
    ...(since === undefined ? {} : { sinceMicros: timeOf('since', since) }),
    ...(until === undefined ? {} : { untilMicros: timeOf('until', until) }),
    ...(cursor === undefined ? {} : { cursor }),
  }
}

function limitOf(text: string): number {
  const limit = /^\d{1,4}$/.test(text) ? Number(text) : 0
  if (limit < 1 || limit > maxLimit) throw wrongParameter('limit', `limit must be a number from 1 to ${maxLimit}`)
  return limit
}

function timeOf(name: string, text: string): number {
  const time = parseRfc3339(text)
  if (typeof time === 'string') throw wrongParameter(name, `${name} ${time}`)
  return time
}
