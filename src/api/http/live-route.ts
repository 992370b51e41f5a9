// GET /v1/events/live: events as they are accepted, as server-sent events or by long poll.

import type { OutgoingHttpHeaders } from 'node:http'
import type { FastifyInstance, FastifyReply } from 'fastify'
import { type MillraceError, toMillraceError } from '../../errors.ts'
import type { Live, LiveQuery, LiveSubscription } from '../../pipeline/live.ts'
import type { OpenCalls } from '../open-calls.ts'
import { answerInTime } from './answer-in-time.ts'
import type { HttpTimes } from './http-times.ts'
import { jsonContentType } from './json-content-type.ts'
import { liveProblemOf } from './live-problem.ts'
import { liveRequestOf, withParameterName } from './live-query.ts'
import { LiveStreams } from './live-stream.ts'
import { longPoll } from './long-poll.ts'
import { sendProblem } from './problem.ts'
import { sseHeaders } from './server-sent-events.ts'

const path = '/v1/events/live'

const cursorHeader = 'millrace-cursor'
const idHeader = 'millrace-subscriber-id'

export function addLiveRoute(app: FastifyInstance, openCalls: OpenCalls, times: HttpTimes): void {
  const streams = new LiveStreams(times.maxSilenceMs)
  openCalls.add(streams)
  // The one that fastify makes of GET would subscribe.
  app.head(path, async (request, reply) => {
    liveRequestOf(request.query, request.headers)
    return reply.headers(sseHeaders).send()
  })
  app.get(path, { exposeHeadRoute: false }, async (request, reply) => {
    const { query, waitMs } = liveRequestOf(request.query, request.headers)
    const subscription = await subscribe(request.caller.pipeline.live, query, times.maxAnswerMs)
    const { socket } = request.raw
    const close = () => subscription.close()
    socket.once('close', close)
    request.onEndedKey = (failure) => subscription.end(failure)
    if (socket.destroyed) close()
    reply.headers({ [cursorHeader]: subscription.startCursor, [idHeader]: subscription.subscriberId })
    if (waitMs === null) {
      sendStream(reply, subscription, query.topic, streams)
    } else {
      await answerPoll(reply, subscription, query.topic, waitMs)
      close()
      // The connection goes on.
      socket.off('close', close)
    }
    return reply
  })
}

/** A subscription that begins too late for its caller is closed. */
async function subscribe(live: Live, query: LiveQuery, maxAnswerMs: number): Promise<LiveSubscription> {
  const beginning = live.subscribe(query)
  return await answerInTime(beginning, maxAnswerMs).catch((thrown) => {
    beginning.then(
      (subscription) => subscription.close(),
      () => {},
    )
    throw withParameterName(toMillraceError(thrown))
  })
}

function sendStream(reply: FastifyReply, subscription: LiveSubscription, topic: string, streams: LiveStreams): void {
  reply.hijack()
  const { socket } = reply.request.raw
  // Until the next bytes, a client that has only ended its side cannot be told from one that is gone.
  socket.once('end', () => subscription.close())
  if (socket.readableEnded) subscription.close()
  const response = reply.raw
  // Without chunks: the stream ends with its connection.
  response.removeHeader('transfer-encoding')
  response.writeHead(200, reply.headers(sseHeaders).getHeaders() as OutgoingHttpHeaders)
  const onFailure = (error: MillraceError) => {
    reply.failure = error
  }
  void streams.send({ response, subscription, topic, onFailure })
}

async function answerPoll(
  reply: FastifyReply,
  subscription: LiveSubscription,
  topic: string,
  waitMs: number,
): Promise<void> {
  try {
    const { frames, cursor } = await longPoll(subscription, topic, waitMs)
    reply.headers({ [cursorHeader]: cursor, 'cache-control': 'no-store' })
    if (frames.length === 0) {
      reply.code(204).send()
      return
    }
    const text = `{"frames":[${frames.join(',')}],"cursor":${JSON.stringify(cursor)}}`
    reply.header('content-type', jsonContentType).send(text)
  } catch (thrown) {
    sendProblem(reply, liveProblemOf(toMillraceError(thrown)))
  }
}
