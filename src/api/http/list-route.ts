// GET /v1/events: the landed events, newest first.

import type { FastifyInstance } from 'fastify'
import { defaultTopic } from '../../event/event.ts'
import { withinMs } from '../../lib/abort.ts'
import type { Live } from '../../pipeline/live.ts'
import type { EventQuery } from '../../pipeline/stored-event.ts'
import { checkTopic } from '../topic.ts'
import { eventPieces } from './event-json.ts'
import type { PageSender } from './page-sender.ts'
import { limitParameter, readQuery, timeParameter } from './query.ts'

/** For the cursor of the log: the rows are listed without it. */
const maxCursorMs = 2_000

export function addListRoute(app: FastifyInstance, pages: PageSender): void {
  app.get('/v1/events', async (request, reply) => {
    const { limit, cursor, ...filter } = eventQueryOf(request.query)
    const { pipeline } = request.caller
    // Before the rows are read, and with the first page: what lands after that is on no later page.
    const liveCursor = cursor === undefined ? await landedCursor(pipeline.live, filter.topic ?? defaultTopic) : null
    const read = async (stepLimit: number, from: string | undefined) => {
      const query = { ...filter, limit: stepLimit, ...(from === undefined ? {} : { cursor: from }) }
      const { events, nextCursor } = await pipeline.listEvents(query)
      return { elements: events.map(eventPieces), nextCursor }
    }
    return await pages.send(reply, { name: 'events', limit, cursor, members: { live_cursor: liveCursor }, read })
  })
}

/** Null when the log does not say, and for a topic that is no longer declared: the rows are there all the same. */
async function landedCursor(live: Live, topic: string): Promise<string | null> {
  return await withinMs(live.landedCursor(topic), maxCursorMs, null).catch(() => null)
}

function eventQueryOf(given: unknown): EventQuery {
  const { topic, type, source, since, until, limit, cursor } = readQuery(given, [
    'topic',
    'type',
    'source',
    'since',
    'until',
    'limit',
    'cursor',
  ])
  return {
    limit: limitParameter(limit),
    ...(topic === undefined ? {} : { topic: checkTopic(topic) }),
    ...(type === undefined ? {} : { type }),
    ...(source === undefined ? {} : { source }),
    ...(since === undefined ? {} : { sinceMicros: timeParameter('since', since) }),
    ...(until === undefined ? {} : { untilMicros: timeParameter('until', until) }),
    ...(cursor === undefined ? {} : { cursor }),
  }
}
