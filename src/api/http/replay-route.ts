// POST /v1/replay: delivers settled events to a group again.

import type { FastifyInstance } from 'fastify'
import * as v from 'valibot'
import { defaultTopic } from '../../event/event.ts'
import { defaultReplayGroup, rateLimits } from '../../pipeline/administration.ts'
import { answerInTime } from './answer-in-time.ts'
import type { HttpTimes } from './http-times.ts'
import { timeParameter } from './query.ts'
import { readSmallJson } from './small-json.ts'

const text = v.optional(v.string('must be a string'))

export const replayBody = v.strictObject(
  {
    topic: v.optional(v.string('must be a string'), defaultTopic),
    group: v.optional(v.string('must be a string'), defaultReplayGroup),
    since: text,
    from: text,
    type: text,
    rate: v.optional(v.number('must be a number of events per second'), rateLimits.default),
    dry_run: v.optional(v.boolean('must be true or false'), false),
    cursor: text,
  },
  'is unknown; the body of a replay has topic, group, since, from, type, rate, dry_run and cursor',
)

export function addReplayRoute(app: FastifyInstance, times: HttpTimes): void {
  app.post('/v1/replay', async (request, reply) => {
    const { since, dry_run: isDryRun, ...chosen } = await readSmallJson(request, replayBody, times)
    const sinceMicros = since === undefined ? undefined : timeParameter('since', since)
    const gone = new AbortController()
    reply.raw.on('close', () => gone.abort())
    const work = request.caller.pipeline.administration.replay(
      { ...chosen, sinceMicros, isDryRun },
      { signal: gone.signal },
    )
    const { replayed, nextCursor } = await answerInTime(work, times.maxAnswerMs)
    return { replayed, next_cursor: nextCursor }
  })
}
