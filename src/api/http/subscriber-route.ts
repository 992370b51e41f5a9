// GET /v1/subscribers: who follows the live feed of this process, by id.

import type { FastifyInstance } from 'fastify'
import type { SubscriberStatus } from '../../pipeline/live.ts'
import { subscriberStatus } from '../../wire/status.ts'
import { answerInTime } from './answer-in-time.ts'
import type { PageSender } from './page-sender.ts'
import { limitParameter, readQuery } from './query.ts'

export function addSubscriberRoute(app: FastifyInstance, pages: PageSender, maxAnswerMs: number): void {
  app.get('/v1/subscribers', async (request, reply) => {
    const { limit, cursor } = readQuery(request.query, ['limit', 'cursor'])
    const found = await answerInTime(request.caller.pipeline.live.subscribers(), maxAnswerMs)
    const all = found.toSorted((a, b) => (placeOf(a) < placeOf(b) ? -1 : 1))
    const read = async (stepLimit: number, from: string | undefined) => {
      const start = from === undefined ? 0 : all.findIndex((each) => placeOf(each) > from)
      const step = start < 0 ? [] : all.slice(start, start + stepLimit)
      const last = step.at(-1)
      const nextCursor = last === undefined || last === all.at(-1) ? null : placeOf(last)
      return { elements: step.map((subscriber) => [JSON.stringify(subscriberStatus.toJson(subscriber))]), nextCursor }
    }
    return await pages.send(reply, { name: 'subscribers', limit: limitParameter(limit), cursor, read })
  })
}

/** Where it stands in the list: those of two keys may have one id. */
function placeOf({ subscriberId, sinceMs }: SubscriberStatus): string {
  return `${subscriberId}/${sinceMs}`
}
