// RequestService: requests, and the replies to earlier ones.

import type { ServerUnaryCall, UntypedServiceImplementation } from '@grpc/grpc-js'
import { maxGetReplyMs } from '../../event/request.ts'
import type { RequestRequest } from '../../gen/millrace/v1/request_pb.ts'
import type { Requests } from '../../pipeline/requests.ts'
import { requestRpcs as rpcs } from '../../wire/requests.ts'
import { defaultRequestMs, maxRequestMs } from '../request-wait.ts'
import { unary } from './unary.ts'

/** Part of the caller's deadline that is reserved for the answer itself. */
const deadlineMarginMs = 50

export function requestHandlers(requests: Requests): UntypedServiceImplementation {
  return {
    request: unary(rpcs.request, async ({ waitMs, attributes, ...sent }, signal, call) => {
      const leftMs = remainingMs(call)
      const times =
        waitMs === null ? { deadlineMs: leftMs, waitMs: null } : { deadlineMs: null, waitMs: Math.min(waitMs, leftMs) }
      const message = { ...sent, attributes: { ...traceOf(call), ...attributes }, ...times }
      const answering = requests.request(message, { signal })
      // grpc-js keeps the message until the end of the call.
      ;(call.request as RequestRequest).data = new Uint8Array(0)
      return await answering
    }),
    getReply: unary(rpcs.getReply, ({ requestId, waitMs, type }, signal, call) =>
      requests.getReply(
        { requestId, type, waitMs: Math.min(waitMs ?? 0, maxGetReplyMs, remainingMs(call)) },
        { signal },
      ),
    ),
  }
}

type Call = ServerUnaryCall<unknown, unknown>

function remainingMs(call: Call): number {
  const deadline = call.getDeadline()
  const leftMs = (deadline instanceof Date ? deadline.getTime() : deadline) - Date.now()
  return Math.max(
    0,
    Math.min(leftMs === Number.POSITIVE_INFINITY ? defaultRequestMs : leftMs, maxRequestMs) - deadlineMarginMs,
  )
}

/** The trace that the call belongs to, as attributes. */
function traceOf({ metadata }: Call): Record<string, string> {
  const names = ['traceparent', 'tracestate']
  return Object.fromEntries(names.flatMap((name) => metadata.get(name).map((value) => [name, value.toString()])))
}
