// The calls of RequestService.

import { create, fromBinary, type MessageInitShape, toBinary } from '@bufbuild/protobuf'
import { MillraceError } from '../errors.ts'
import { payloadOf } from '../event/request.ts'
import {
  GetReplyRequestSchema,
  GetReplyResponseSchema,
  RequestRequestSchema,
  type RequestResponse,
  RequestResponseSchema,
  RequestStage,
} from '../gen/millrace/v1/request_pb.ts'
import type { Reply, RequestAnswer, RequestStage as Stage } from '../pipeline/requests.ts'
import { durationOf } from './wire-values.ts'

export interface RequestInput {
  /** What is asked for: [a-z0-9][a-z0-9._-]{0,63}. */
  readonly type: string
  /** Bytes are sent unchanged, a string as text, any other value as JSON. */
  readonly data?: unknown
  /** Default: by the data. */
  readonly dataContentType?: string
  /**
   * 1 to 255 visible ASCII characters. The same id with the same content joins the request that runs, or gets its reply.
   * Default: a UUIDv7.
   */
  readonly requestId?: string
  /** For the worker, as the attributes of an event; no name begins with `millrace`. */
  readonly attributes?: Readonly<Record<string, string>>
}

/** The reply to a request. */
export interface ReceivedReply extends Reply {
  readonly requestId: string
  /** The data as JSON. Throws a SyntaxError when it is not JSON. */
  json(): unknown
  text(): string
}

export const requestMethod = 'millrace.v1.RequestService/Request'
export const getReplyMethod = 'millrace.v1.RequestService/GetReply'

/**
 * @param waitMs null: the deadline of the call is that of the request.
 * Throws `invalid_event` for data without a JSON form.
 */
export function encodeRequest(input: RequestInput, waitMs: number | null): Buffer {
  const { type, requestId = '', attributes = {} } = input
  const payload = payloadOf(input.data)
  if (payload === null) {
    const problem = `data is a ${typeof input.data}, which has no JSON form`
    throw new MillraceError('invalid_event', problem, { field: 'data' })
  }
  const message: MessageInitShape<typeof RequestRequestSchema> = {
    ...{ type, requestId, attributes, data: payload.data },
    dataContentType: input.dataContentType ?? payload.dataContentType,
    ...(waitMs === null ? {} : { wait: durationOf(waitMs) }),
  }
  return Buffer.from(toBinary(RequestRequestSchema, create(RequestRequestSchema, message)))
}

export function encodeGetReply(requestId: string, type: string, waitMs: number): Buffer {
  const message = create(GetReplyRequestSchema, { requestId, type, wait: durationOf(waitMs) })
  return Buffer.from(toBinary(GetReplyRequestSchema, message))
}

export function decodeRequestAnswer(bytes: Buffer): RequestAnswer {
  return answerOf(fromBinary(RequestResponseSchema, bytes))
}

export function decodeReplyAnswer(bytes: Buffer): RequestAnswer {
  return answerOf(fromBinary(GetReplyResponseSchema, bytes))
}

type AnswerOnWire = Pick<RequestResponse, 'requestId' | 'stage' | 'data' | 'dataContentType' | 'attempts'>

function answerOf({ requestId, stage, data, dataContentType, attempts }: AnswerOnWire): RequestAnswer {
  if (stage === RequestStage.REPLIED) return { requestId, stage: 'replied', reply: { data, dataContentType, attempts } }
  const waiting: Stage = stage === RequestStage.STARTED ? 'started' : 'accepted'
  return { requestId, stage: waiting, reply: null }
}

export function withReaders({ requestId, reply }: RequestAnswer & { readonly stage: 'replied' }): ReceivedReply {
  const { buffer, byteOffset, byteLength } = reply.data
  const text = () => Buffer.from(buffer, byteOffset, byteLength).toString()
  return { requestId, ...reply, text, json: () => JSON.parse(text()) }
}
