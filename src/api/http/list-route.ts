// GET /v1/events: the landed events, newest first.

import type { FastifyInstance } from 'fastify'
import type { Pipeline } from '../../pipeline/pipeline.ts'
import type { EventQuery } from '../../pipeline/stored-event.ts'
import { answerInTime } from './answer-in-time.ts'
import { eventPageJson } from './event-json.ts'
import { jsonContentType } from './json-content-type.ts'
import { limitParameter, readQuery, timeParameter } from './query.ts'

export function addListRoute(app: FastifyInstance, pipeline: Pipeline, maxAnswerMs: number): void {
  app.get('/v1/events', async (request, reply) => {
    const page = await answerInTime(pipeline.listEvents(eventQueryOf(request.query)), maxAnswerMs)
    return reply.header('content-type', jsonContentType).send(eventPageJson(page))
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
    limit: limitParameter(limit),
    ...(type === undefined ? {} : { type }),
    ...(source === undefined ? {} : { source }),
    ...(since === undefined ? {} : { sinceMicros: timeParameter('since', since) }),
    ...(until === undefined ? {} : { untilMicros: timeParameter('until', until) }),
    ...(cursor === undefined ? {} : { cursor }),
  }
}
