// The routes of groups: list them, pause, resume or delete one, list its held keys, and let the first event of one go.

import type { FastifyInstance } from 'fastify'
import * as v from 'valibot'
import { releaseActions } from '../../pipeline/administration.ts'
import { administrationRpcs } from '../../wire/administration.ts'
import { listedGroup } from '../../wire/status.ts'
import { answerInTime } from './answer-in-time.ts'
import type { HttpTimes } from './http-times.ts'
import { limitParameter, readQuery } from './query.ts'
import { readSmallJson } from './small-json.ts'

export const pauseBody = v.strictObject(
  { reason: v.optional(v.string('must be a string'), '') },
  'is unknown; the body of a pause has reason',
)
export const resumeBody = v.strictObject(
  { rate: v.optional(v.number('must be a number of events per second')) },
  'is unknown; the body of a resume has rate',
)

interface GroupRoute {
  readonly Params: { readonly topic: string; readonly group: string }
}

interface KeyRoute {
  readonly Params: GroupRoute['Params'] & { readonly key: string }
}

export function addGroupRoutes(app: FastifyInstance, times: HttpTimes): void {
  const { maxAnswerMs } = times
  app.get('/v1/groups', async (request) => {
    const { topic } = readQuery(request.query, ['topic'])
    const groups = await answerInTime(request.caller.pipeline.groups(), maxAnswerMs)
    const chosen = groups.filter((group) => topic === undefined || group.topic === topic)
    return { groups: chosen.map(listedGroup.toJson) }
  })
  app.delete<GroupRoute>('/v1/groups/:topic/:group', async (request) => {
    readQuery(request.query, [])
    return await answerInTime(request.caller.pipeline.administration.deleteGroup(request.params), maxAnswerMs)
  })
  app.post<GroupRoute>('/v1/groups/:topic/:group/pause', async (request) => {
    const { reason } = await readSmallJson(request, pauseBody, times)
    await answerInTime(request.caller.pipeline.administration.pauseGroup(request.params, reason), maxAnswerMs)
    return { ...request.params, reason }
  })
  app.post<GroupRoute>('/v1/groups/:topic/:group/resume', async (request) => {
    const { rate } = await readSmallJson(request, resumeBody, times)
    await answerInTime(request.caller.pipeline.administration.resumeGroup(request.params, rate), maxAnswerMs)
    return { ...request.params, rate: rate ?? null }
  })
  app.get<GroupRoute>('/v1/groups/:topic/:group/keys', async (request) => {
    const { limit } = readQuery(request.query, ['limit'])
    const held = await answerInTime(
      request.caller.pipeline.administration.heldKeys(request.params, limitParameter(limit)),
      maxAnswerMs,
    )
    return administrationRpcs.heldKeys.answer.toJson(held)
  })
  for (const action of releaseActions) {
    app.post<KeyRoute>(`/v1/groups/:topic/:group/keys/:key/${action}`, async (request) => {
      readQuery(request.query, [])
      const { topic, group, key } = request.params
      await answerInTime(request.caller.pipeline.administration.releaseKey({ topic, group }, key, action), maxAnswerMs)
      return { topic, group, key, action }
    })
  }
}
