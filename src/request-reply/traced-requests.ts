// Makes a span for each request, from its call to its answer. The attempts of its worker belong to it.

import { toMillraceError } from '../errors.ts'
import { isRequestType, requestSource, requestTopicOf } from '../event/request.ts'
import { traceAttributesOf, traceContextOf } from '../event/trace-context.ts'
import type { RequestAnswer, RequestMessage, Requests } from '../pipeline/requests.ts'
import type { MaybeTracer, Tracer } from '../telemetry/tracing.ts'

const noBytes = new Uint8Array(0)

export function tracedRequests(tracer: MaybeTracer, requests: Requests): Requests {
  if (tracer === null) return requests
  return {
    request: (message, options) =>
      // One that is refused for its type names no topic.
      isRequestType(message.type) ? request(tracer, requests, message, options) : requests.request(message, options),
    getReply: (query, options) => requests.getReply(query, options),
  }
}

async function request(
  tracer: Tracer,
  requests: Requests,
  message: RequestMessage,
  options: Parameters<Requests['request']>[1],
): Promise<RequestAnswer> {
  const { type, requestId, attributes } = message
  const span = tracer.send({
    ...{ topic: requestTopicOf(type), events: 1, from: [] },
    ...(requestId === '' ? {} : { requestId, event: { id: requestId, source: requestSource, type, subject: '' } }),
    parent: traceContextOf(attributes.traceparent, attributes.tracestate),
  })
  const ofSpan = Object.fromEntries(traceAttributesOf(span.context))
  const traced = { ...message, attributes: { ...attributes, ...ofSpan } }
  message.data = noBytes
  try {
    const answer = await requests.request(traced, options)
    span.end(null)
    return answer
  } catch (thrown) {
    span.end(toMillraceError(thrown))
    throw thrown
  }
}
