// A reply as the log keeps it: one line of JSON, then the data.

import { type ErrorCode, failureOfWorker, MillraceError } from '../errors.ts'
import type { Reply } from '../pipeline/requests.ts'

/** Why there is no reply, and will be none. */
export interface ReplyFailure {
  readonly code: ErrorCode
  readonly message: string
}

/** A longer message is cut. */
const maxMessageLength = 1000
const lineFeed = 0x0a

export function encodeReply({ data, dataContentType, attempts }: Reply): Uint8Array {
  return Buffer.concat([header({ attempts, dataContentType }), data])
}

export function encodeFailure({ code, message }: ReplyFailure): Uint8Array {
  return header({ code, message: message.slice(0, maxMessageLength) })
}

function header(fields: Omit<Reply, 'data'> | ReplyFailure): Buffer {
  return Buffer.from(`${JSON.stringify(fields)}\n`)
}

/** Errors: the failure, when there is no reply. */
export function decodeReply(bytes: Uint8Array): Reply {
  const end = bytes.indexOf(lineFeed)
  const text = Buffer.from(bytes.buffer, bytes.byteOffset, end).toString()
  const fields = JSON.parse(text) as Omit<Reply, 'data'> | ReplyFailure
  if ('code' in fields) throw new MillraceError(fields.code, fields.message, { logFields: failureOfWorker })
  return { ...fields, data: bytes.subarray(end + 1) }
}
