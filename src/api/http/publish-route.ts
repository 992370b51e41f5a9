// POST /v1/events: accepts events in every form and answers with a verdict for each.

import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { defaultTopic, limits } from '../../event/event.ts'
import { JsonText } from '../../lib/json/json-text.ts'
import type { Overflow, PublishOptions, PublishVerdict } from '../../pipeline/pipeline.ts'
import type { HistogramSeries } from '../../telemetry/metric-family.ts'
import { failureOfVerdict } from '../call-verdict.ts'
import type { OpenCalls } from '../open-calls.ts'
import { maxPublishWaitMs } from '../publish-wait.ts'
import { checkTopic } from '../topic.ts'
import { answerInTime } from './answer-in-time.ts'
import { chunksOf, readBody } from './body-chunks.ts'
import { type BodyForm, bodyFormOf } from './body-form.ts'
import { traceOfHeaders } from './call-trace.ts'
import { isFault } from './cloud-event.ts'
import { readBinaryEvent } from './cloud-event-headers.ts'
import { CloudEventReader } from './cloud-event-json.ts'
import { decodeCloudEvents, partsOfProtobufEvent } from './cloud-event-protobuf.ts'
import { EventDrafts, verdictOnDraft } from './event-drafts.ts'
import type { HttpTimes } from './http-times.ts'
import { readJsonBody } from './json-body.ts'
import { type LinesVerdict, publishLines } from './ndjson.ts'
import { PlainEventReader } from './plain-event.ts'
import { problemOf, rejectionJson, sendProblem } from './problem.ts'
import { readQuery, wrongParameter } from './query.ts'

const overflows: readonly Overflow[] = ['reject', 'drop', 'wait']

export interface PublishRouteParts {
  readonly publishDuration: HistogramSeries
  /** NDJSON bodies that are being read; a stopping server ends them. */
  readonly openCalls: OpenCalls
  readonly times: HttpTimes
}

export function addPublishRoute(app: FastifyInstance, parts: PublishRouteParts): void {
  const { publishDuration, openCalls, times } = parts
  // Each body and each NDJSON line is read synchronously, so all of them can share it.
  const text = new JsonText()
  app.post('/v1/events', async (request, reply) => {
    const { pipeline } = request.caller
    reply.header('millrace-persistence', pipeline.persistence())
    const { topic, overflow } = targetOf(request)
    const form = bodyFormOf(request.raw)
    const options = overflow === 'wait' ? waitOptionsOf(reply) : undefined
    const trace = traceOfHeaders(request.headers)
    const publish = async (message: Uint8Array): Promise<PublishVerdict> => {
      const startedAt = performance.now()
      const published = pipeline.publish({ topic, overflow, message, trace }, options)
      const verdict = await answerInTime(published, times.maxAnswerMs)
      publishDuration.observe((performance.now() - startedAt) / 1000)
      return verdict
    }
    if (form === 'ndjson') {
      return answerLines(
        reply,
        await publishLines(chunksOf(request.raw), times.maxIdleMs, { publish, text, openCalls }),
      )
    }
    const body = await readBody(request.raw, limits.maxMessageBytes, times.maxBodyMs)
    const drafts = new EventDrafts()
    readEvents(form, request, body, text, drafts)
    const draft = drafts.take()
    return answer(reply, verdictOnDraft(draft, await publish(draft.message)))
  })
}

function targetOf(request: FastifyRequest): { topic: string; overflow: Overflow } {
  const query = readQuery(request.query, ['topic', 'overflow'])
  const topic = query.topic === undefined ? defaultTopic : checkTopic(query.topic)
  const overflow = overflows.find((policy) => policy === (query.overflow ?? 'reject'))
  if (overflow === undefined) throw wrongParameter('overflow', 'overflow must be reject, drop or wait')
  return { topic, overflow }
}

/**
 * Events stop waiting for room when the client disconnects. The end of its side counts as that, because it is all that
 * the server sees of a client that is gone: its events must not be accepted after it has sent them again.
 */
function waitOptionsOf({ raw }: FastifyReply): PublishOptions {
  const gone = new AbortController()
  const abort = () => gone.abort()
  const { socket } = raw
  if (socket === null || socket.readableEnded) abort()
  socket?.once('end', abort)
  raw.once('close', () => {
    socket?.off('end', abort)
    abort()
  })
  return { maxWaitMs: maxPublishWaitMs, signal: gone.signal }
}

function readEvents(
  form: Exclude<BodyForm, 'ndjson'>,
  { raw }: FastifyRequest,
  body: Buffer,
  text: JsonText,
  drafts: EventDrafts,
): void {
  switch (form) {
    case 'json':
      readJsonBody(text.load(body), 'any', new PlainEventReader(), drafts)
      return
    case 'structured-json':
      readJsonBody(text.load(body), 'one', new CloudEventReader(), drafts)
      return
    case 'batch-json':
      readJsonBody(text.load(body), 'many', new CloudEventReader(), drafts)
      return
    case 'structured-protobuf':
    case 'batch-protobuf':
      for (const [index, event] of decodeCloudEvents(body, form === 'batch-protobuf').entries()) {
        const parts = partsOfProtobufEvent(event)
        if (isFault(parts)) drafts.refuse(index, event.id, `${parts.attribute} ${parts.problem}`)
        else drafts.add(index, parts)
      }
      return
    case 'binary':
      drafts.add(0, readBinaryEvent(raw.rawHeaders, raw.headers['content-type'], body))
  }
}

function answer(reply: FastifyReply, verdict: PublishVerdict): FastifyReply {
  const rejections = verdict.rejections.map(rejectionJson)
  const failure = failureOfVerdict(verdict)
  if (failure !== null) return sendProblem(reply, { ...problemOf(failure), members: { rejections } })
  const { accepted, dropped, durability } = verdict
  return sendJson(reply.code(202), { accepted, dropped, rejections, durability })
}

/** Like `answer`, with the number of rejected lines, because only the first rejections are listed. */
function answerLines(reply: FastifyReply, verdict: LinesVerdict): FastifyReply {
  const { accepted, dropped, rejected, durability } = verdict
  const rejections = verdict.rejections.map(rejectionJson)
  const taken = { accepted, dropped, rejected }
  const failure = verdict.failure?.withTaken(taken) ?? failureOfVerdict(verdict, rejected)
  if (failure !== null) return sendProblem(reply, { ...problemOf(failure), members: { rejections } })
  return sendJson(reply.code(202), { ...taken, rejections, durability })
}

function sendJson(reply: FastifyReply, body: object): FastifyReply {
  return reply.header('content-type', 'application/json; charset=utf-8').send(JSON.stringify(body))
}
