// What a program asks, and what it gets.

import { MillraceError } from '../errors.ts'
import { payloadOf } from '../event/request.ts'
import type { Reply, RequestAnswer } from '../pipeline/requests.ts'

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

/** Throws `invalid_event` for data without a JSON form. */
export function messageOf(input: RequestInput) {
  const { type, requestId = '', attributes = {} } = input
  const payload = payloadOf(input.data)
  if (payload === null) {
    const problem = `data is a ${typeof input.data}, which has no JSON form`
    throw new MillraceError('invalid_event', problem, { field: 'data' })
  }
  const dataContentType = input.dataContentType ?? payload.dataContentType
  return { type, requestId, attributes, data: payload.data, dataContentType }
}

export function withReaders({ requestId, reply }: RequestAnswer & { readonly stage: 'replied' }): ReceivedReply {
  const { buffer, byteOffset, byteLength } = reply.data
  const text = () => Buffer.from(buffer, byteOffset, byteLength).toString()
  return { requestId, ...reply, text, json: () => JSON.parse(text()) }
}
