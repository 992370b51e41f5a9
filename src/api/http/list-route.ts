// GET /v1/events: the landed events, newest first.

import type { FastifyInstance } from 'fastify'
import type { EventQuery } from '../../pipeline/stored-event.ts'
import { eventPieces } from './event-json.ts'
import type { PageSender } from './page-sender.ts'
import { limitParameter, readQuery, timeParameter } from './query.ts'

export function addListRoute(app: FastifyInstance, pages: PageSender): void {
  app.get('/v1/events', async (request, reply) => {
    const { limit, cursor, ...filter } = eventQueryOf(request.query)
    const read = async (stepLimit: number, from: string | undefined) => {
      const query = { ...filter, limit: stepLimit, ...(from === undefined ? {} : { cursor: from }) }
      const { events, nextCursor } = await request.caller.pipeline.listEvents(query)
      return { elements: events.map(eventPieces), nextCursor }
    }
    return await pages.send(reply, { name: 'events', limit, cursor, read })
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
