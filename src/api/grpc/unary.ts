// A unary method: it calls the pipeline once and converts the result to a wire message.

import type { Message } from '@bufbuild/protobuf'
import type { ServerUnaryCall, sendUnaryData } from '@grpc/grpc-js'
import { toMillraceError } from '../../errors.ts'
import type { Nothing, Rpc } from '../../wire/rpc.ts'
import { richStatusOf } from './rich-status.ts'

type Call = ServerUnaryCall<Message, Message>

/** @param answer gets the request, a signal that aborts when the caller cancels the call, and the call. */
export function unary<Request, Answer>(
  { request, answer: answerShape }: Rpc<Request, Answer>,
  answer: (request: Request, signal: AbortSignal, call: Call) => Promise<Answer>,
) {
  return (call: Call, callback: sendUnaryData<Message>): void => {
    const gone = new AbortController()
    const abort = () => gone.abort()
    call.on('cancelled', abort)
    Promise.resolve()
      .then(() => answer(request.ofMessage(call.request), gone.signal, call))
      // grpc-js cancels every call at its end, also one that was answered.
      .finally(() => call.off('cancelled', abort))
      .then(
        (value) => callback(null, answerShape.toMessage(value)),
        (error: unknown) => callback(richStatusOf(toMillraceError(error))),
      )
  }
}

/** The answer of a call that returns nothing. */
export async function done(work: Promise<void>): Promise<Nothing> {
  await work
  return {}
}
