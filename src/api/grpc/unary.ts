// A unary method: it calls the pipeline once and converts the result to a wire message.

import { create, type DescMessage, type MessageInitShape, type MessageShape } from '@bufbuild/protobuf'
import type { ServerUnaryCall, sendUnaryData } from '@grpc/grpc-js'
import { toMillraceError } from '../../errors.ts'
import { richStatusOf } from './rich-status.ts'

/** @param answer gets the request, a signal that aborts when the caller cancels the call, and the call. */
export function unary<Request, Response extends DescMessage>(
  schema: Response,
  answer: (
    request: Request,
    signal: AbortSignal,
    call: ServerUnaryCall<Request, unknown>,
  ) => Promise<MessageInitShape<Response>>,
) {
  return (call: ServerUnaryCall<Request, unknown>, callback: sendUnaryData<MessageShape<Response>>): void => {
    const gone = new AbortController()
    call.on('cancelled', () => gone.abort())
    Promise.resolve()
      .then(() => answer(call.request, gone.signal, call))
      .then(
        (response) => callback(null, create(schema, response)),
        (error: unknown) => callback(richStatusOf(toMillraceError(error))),
      )
  }
}
