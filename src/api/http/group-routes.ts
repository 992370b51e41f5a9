// The routes of a group's held keys: list them, and let the first event of one go.

import type { FastifyInstance } from 'fastify'
import { type Administration, releaseActions } from '../../pipeline/administration.ts'
import { heldKeyJson } from './administration-json.ts'
import { answerInTime } from './answer-in-time.ts'
import { limitParameter, readQuery } from './query.ts'

interface GroupRoute {
  readonly Params: { readonly topic: string; readonly group: string }
}

interface KeyRoute {
  readonly Params: GroupRoute['Params'] & { readonly key: string }
}

export function addGroupRoutes(app: FastifyInstance, administration: Administration, maxAnswerMs: number): void {
  app.get<GroupRoute>('/v1/groups/:topic/:group/keys', async (request) => {
    const { limit } = readQuery(request.query, ['limit'])
    const { keys, hasMore } = await answerInTime(
      administration.heldKeys(request.params, limitParameter(limit)),
      maxAnswerMs,
    )
    return { keys: keys.map(heldKeyJson), has_more: hasMore }
  })
  for (const action of releaseActions) {
    app.post<KeyRoute>(`/v1/groups/:topic/:group/keys/:key/${action}`, async (request) => {
      readQuery(request.query, [])
      const { topic, group, key } = request.params
      await answerInTime(administration.releaseKey({ topic, group }, key, action), maxAnswerMs)
      return { topic, group, key, action }
    })
  }
}
