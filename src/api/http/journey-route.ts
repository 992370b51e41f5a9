// GET /v1/events/{id}: one event and its journey.

import type { FastifyInstance } from 'fastify'
import { journeyJson } from './administration-json.ts'
import { answerInTime } from './answer-in-time.ts'
import { jsonContentType } from './json-content-type.ts'
import { readQuery } from './query.ts'

export function addJourneyRoute(app: FastifyInstance, maxAnswerMs: number): void {
  app.get<{ Params: { id: string } }>('/v1/events/:id', async (request, reply) => {
    const { source } = readQuery(request.query, ['source'])
    const { administration } = request.caller.pipeline
    const journey = await answerInTime(administration.journey({ id: request.params.id, source }), maxAnswerMs)
    return reply.header('content-type', jsonContentType).send(journeyJson(journey))
  })
}
