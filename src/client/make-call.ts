// How the parts of a client make a unary call.

import { fromBinary, toBinary } from '@bufbuild/protobuf'
import { MillraceError } from '../errors.ts'
import type { Rpc } from '../wire/rpc.ts'
import type { Shape } from '../wire/shape.ts'

export type MakeCall = <Request, Answer>(
  rpc: Rpc<Request, Answer>,
  request: Request,
  options?: { readonly signal?: AbortSignal | undefined },
) => Promise<Answer>

/** The error of the library, which has no type of its own. */
const wrongValue = /^cannot encode field (?:\w+\.)*(\w+) to binary: (.+)$/

export function encodeRequest<Request, Answer>({ request: shape }: Rpc<Request, Answer>, request: Request): Buffer {
  return encodeMessage(shape, request)
}

/** Errors: `invalid_event`, naming the field, for a value that the field of the message cannot have. */
export function encodeMessage<Domain>(shape: Shape<Domain>, value: Domain): Buffer {
  const message = shape.toMessage(value)
  try {
    const { buffer, byteOffset, byteLength } = toBinary(shape.schema, message)
    return Buffer.from(buffer, byteOffset, byteLength)
  } catch (thrown) {
    const [, field, problem] = wrongValue.exec((thrown as Error).message) ?? []
    if (field === undefined) throw thrown
    throw new MillraceError('invalid_event', `${field} is not valid: ${problem}`, { field, cause: thrown })
  }
}

export function decodeAnswer<Request, Answer>({ answer }: Rpc<Request, Answer>, bytes: Buffer): Answer {
  return answer.ofMessage(fromBinary(answer.schema, bytes))
}
