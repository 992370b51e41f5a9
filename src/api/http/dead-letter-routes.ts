// The routes of dead letters: list, get, redrive and delete.

import type { FastifyInstance } from 'fastify'
import { MillraceError } from '../../errors.ts'
import { limits } from '../../event/event.ts'
import type { DeadLetterFilter } from '../../pipeline/dead-letters.ts'
import { deadLetter, deadLetterCause, redriveAnswer } from '../../wire/administration.ts'
import { deadLetterDetailJson } from './administration-json.ts'
import { answerInTime } from './answer-in-time.ts'
import { readBody } from './body-chunks.ts'
import type { HttpTimes } from './http-times.ts'
import { jsonContentType } from './json-content-type.ts'
import type { PageSender } from './page-sender.ts'
import { limitParameter, readQuery, timeParameter, wrongParameter } from './query.ts'
import { readRedriveBody } from './redrive-body.ts'

/** Enough for the largest event in base64. */
const maxBodyBytes = limits.maxMessageBytes

const filterNames = ['topic', 'group', 'type', 'code', 'since', 'until', 'redriven'] as const
type FilterText = Partial<Record<(typeof filterNames)[number], string>>

interface IdRoute {
  readonly Params: { readonly id: string }
}

export function addDeadLetterRoutes(app: FastifyInstance, pages: PageSender, times: HttpTimes): void {
  const { maxAnswerMs, maxBodyMs } = times
  app.get('/v1/dead-letters', async (request, reply) => {
    const { by, limit, cursor, ...filter } = readQuery(request.query, [...filterNames, 'by', 'limit', 'cursor'])
    if (by !== undefined && by !== 'cause') throw wrongParameter('by', 'by must be "cause", or be left out')
    if (by === 'cause') {
      if (limit !== undefined || cursor !== undefined)
        throw wrongParameter('by', 'by=cause does not support limit and cursor: leave them out')
      const causes = await answerInTime(
        request.caller.pipeline.administration.groupDeadLetters(filterOf(filter)),
        maxAnswerMs,
      )
      return { causes: causes.map(deadLetterCause.toJson) }
    }
    const conditions = filterOf(filter)
    const read = async (stepLimit: number, from: string | undefined) => {
      const query = { ...conditions, limit: stepLimit, cursor: from }
      const { deadLetters, nextCursor } = await request.caller.pipeline.administration.listDeadLetters(query)
      return { elements: deadLetters.map((letter) => [JSON.stringify(deadLetter.toJson(letter))]), nextCursor }
    }
    return await pages.send(reply, { name: 'dead_letters', limit: limitParameter(limit), cursor, read })
  })

  app.get<IdRoute>('/v1/dead-letters/:id', async (request, reply) => {
    readQuery(request.query, [])
    const detail = await answerInTime(
      request.caller.pipeline.administration.getDeadLetter(request.params.id),
      maxAnswerMs,
    )
    return reply.header('content-type', jsonContentType).send(deadLetterDetailJson(detail))
  })

  app.post('/v1/dead-letters/redrive', async (request, reply) => {
    readQuery(request.query, [])
    refuseOtherThanJson(request.headers['content-type'])
    const gone = new AbortController()
    reply.raw.on('close', () => gone.abort())
    const body = readRedriveBody(await readBody(request.raw, maxBodyBytes, maxBodyMs))
    const work = request.caller.pipeline.administration.redriveDeadLetters(body, { signal: gone.signal })
    return redriveAnswer.toJson(await answerInTime(work, maxAnswerMs))
  })

  app.delete<IdRoute>('/v1/dead-letters/:id', async (request) => {
    readQuery(request.query, [])
    const { id } = request.params
    const { deleted } = await answerInTime(
      request.caller.pipeline.administration.deleteDeadLetters({ deadLetterIds: [id] }, false),
      maxAnswerMs,
    )
    if (deleted === 0) throw new MillraceError('not_found', `there is no dead letter ${id}`)
    return { deleted }
  })
}

function filterOf({ since, until, redriven, ...names }: FilterText): DeadLetterFilter {
  if (redriven !== undefined && redriven !== 'true' && redriven !== 'false') {
    throw wrongParameter('redriven', 'redriven must be true or false')
  }
  return {
    ...names,
    sinceMicros: since === undefined ? undefined : timeParameter('since', since),
    untilMicros: until === undefined ? undefined : timeParameter('until', until),
    isRedriven: redriven === undefined ? undefined : redriven === 'true',
  }
}

/** Protects against other origins: a browser sends this type only after a CORS preflight, which is refused. */
export function refuseOtherThanJson(contentType: string | undefined): void {
  const [mediaType = ''] = (contentType ?? '').toLowerCase().split(';')
  if (mediaType.trim() === 'application/json') return
  throw new MillraceError('unsupported_media_type', 'content-type must be application/json', { field: 'content-type' })
}
