// A unary method: it calls the pipeline once and converts the result to a wire message.

import { create, type DescMessage, type MessageInitShape, type MessageShape } from '@bufbuild/protobuf'
import type { ServerUnaryCall, sendUnaryData } from '@grpc/grpc-js'
import { toMillraceError } from '../../errors.ts'
import { richStatusOf } from './rich-status.ts'

/** @param answer gets the request, and a signal that aborts when the caller cancels the call. */
export function unary<Request, Response extends DescMessage>(
  schema: Response,
  answer: (request: Request, signal: AbortSignal) => Promise<MessageInitShape<Response>>,
) {
  return (call: ServerUnaryCall<Request, unknown>, callback: sendUnaryData<MessageShape<Response>>): void => {
    const gone = new AbortController()
    call.on('cancelled', () => gone.abort())
    Promise.resolve()
      .then(() => answer(call.request, gone.signal))
      .then(
        (response) => callback(null, create(schema, response)),
        (error: unknown) => callback(richStatusOf(toMillraceError(error))),
      )
  }
}
