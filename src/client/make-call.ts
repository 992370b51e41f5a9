// How the parts of a client make a unary call.

import { fromBinary, toBinary } from '@bufbuild/protobuf'
import type { Rpc } from '../wire/rpc.ts'

export type MakeCall = <Request, Answer>(
  rpc: Rpc<Request, Answer>,
  request: Request,
  options?: { readonly signal?: AbortSignal | undefined },
) => Promise<Answer>

export function encodeRequest<Request, Answer>({ request: shape }: Rpc<Request, Answer>, request: Request): Buffer {
  const { buffer, byteOffset, byteLength } = toBinary(shape.schema, shape.toMessage(request))
  return Buffer.from(buffer, byteOffset, byteLength)
}

export function decodeAnswer<Request, Answer>({ answer }: Rpc<Request, Answer>, bytes: Buffer): Answer {
  return answer.ofMessage(fromBinary(answer.schema, bytes))
}
