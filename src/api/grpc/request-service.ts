// RequestService: requests, and the replies to earlier ones.

import type { ServerUnaryCall, UntypedServiceImplementation } from '@grpc/grpc-js'
import { maxGetReplyMs } from '../../event/request.ts'
import {
  type GetReplyRequest,
  GetReplyResponseSchema,
  type RequestRequest,
  RequestResponseSchema,
  RequestStage,
} from '../../gen/millrace/v1/request_pb.ts'
import type { RequestAnswer, Requests } from '../../pipeline/requests.ts'
import { defaultRequestMs, maxRequestMs } from '../request-wait.ts'
import { ofDuration } from '../wire.ts'
import { unary } from './unary.ts'

/** Part of the caller's deadline that is reserved for the answer itself. */
const deadlineMarginMs = 50

const stages = {
  accepted: RequestStage.ACCEPTED,
  started: RequestStage.STARTED,
  replied: RequestStage.REPLIED,
} as const

export function requestHandlers(requests: Requests): UntypedServiceImplementation {
  return {
    request: unary(RequestResponseSchema, async (message: RequestRequest, signal, call) => {
      const { type, dataContentType, requestId, wait } = message
      const leftMs = remainingMs(call)
      const times =
        wait === undefined
          ? { deadlineMs: leftMs, waitMs: null }
          : { deadlineMs: null, waitMs: Math.min(ofDuration('wait', wait), leftMs) }
      const attributes = { ...traceOf(call), ...message.attributes }
      const names = { type, dataContentType, requestId, attributes }
      const answering = requests.request({ ...names, data: message.data, ...times }, { signal })
      // grpc-js keeps the message until the end of the call.
      message.data = new Uint8Array(0)
      return toResponse(await answering)
    }),
    getReply: unary(GetReplyResponseSchema, async ({ requestId, wait, type }: GetReplyRequest, signal, call) => {
      const waitMs = wait === undefined ? 0 : Math.min(ofDuration('wait', wait), maxGetReplyMs, remainingMs(call))
      return toResponse(await requests.getReply({ requestId, type, waitMs }, { signal }))
    }),
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

function toResponse({ requestId, stage, reply }: RequestAnswer) {
  return { requestId, stage: stages[stage], ...reply }
}
