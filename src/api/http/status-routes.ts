// The status: now (GET /v1/status), its last 15 minutes (/history), and for those who watch it (/live).

import type { OutgoingHttpHeaders } from 'node:http'
import type { FastifyInstance } from 'fastify'
import { status, statusHistory } from '../../wire/status.ts'
import type { OpenCalls } from '../open-calls.ts'
import { answerInTime } from './answer-in-time.ts'
import type { HttpTimes } from './http-times.ts'
import { readQuery } from './query.ts'
import { sseHeaders } from './server-sent-events.ts'
import { StatusStreams } from './status-streams.ts'

const livePath = '/v1/status/live'

export function addStatusRoutes(app: FastifyInstance, openCalls: OpenCalls, times: HttpTimes): void {
  const { maxAnswerMs } = times
  const streams = new StatusStreams(times)
  openCalls.add(streams)
  app.get('/v1/status', async (request) =>
    status.toJson(await answerInTime(request.caller.pipeline.status(), maxAnswerMs)),
  )
  app.get('/v1/status/history', async (request) => {
    readQuery(request.query, [])
    return statusHistory.toJson(await answerInTime(request.caller.pipeline.history(), maxAnswerMs))
  })
  // The one that fastify makes of GET would watch.
  app.head(livePath, async (request, reply) => {
    readQuery(request.query, [])
    return reply.headers(sseHeaders).send()
  })
  app.get(livePath, { exposeHeadRoute: false, config: { answersFirst: true } }, async (request, reply) => {
    readQuery(request.query, [])
    reply.hijack()
    const { raw } = reply
    raw.removeHeader('transfer-encoding')
    raw.writeHead(200, reply.headers(sseHeaders).getHeaders() as OutgoingHttpHeaders)
    request.onEndedKey = (failure) => {
      reply.failure = failure
      streams.end(raw, failure)
    }
    streams.add(request.caller.pipeline, raw)
    return reply
  })
}
