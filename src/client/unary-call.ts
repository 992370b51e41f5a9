// One unary call: one request, one response, one deadline.

import { type Client as GrpcClient, Metadata } from '@grpc/grpc-js'
import { MillraceError } from '../errors.ts'
import { errorOfCall } from './grpc-errors.ts'

export interface UnaryOptions {
  /** Milliseconds since 1970. */
  readonly deadline: number
  readonly signal: AbortSignal | undefined
  readonly metadata?: Metadata | undefined
}

/** @param method `millrace.v1.IngestService/Publish`. */
export function unaryCall<Response>(
  client: GrpcClient,
  method: string,
  request: Buffer,
  decode: (bytes: Buffer) => Response,
  { deadline, signal, metadata = new Metadata() }: UnaryOptions,
): Promise<Response> {
  return new Promise((resolve, reject) => {
    const cancel = (): void => call.cancel()
    const call = client.makeUnaryRequest<Buffer, Response>(
      `/${method}`,
      (bytes) => bytes,
      decode,
      request,
      metadata,
      { deadline },
      (error, response) => {
        signal?.removeEventListener('abort', cancel)
        if (error !== null) reject(errorOfCall(error))
        else resolve(response as Response)
      },
    )
    signal?.addEventListener('abort', cancel, { once: true })
  })
}

/** The promise's outcome, unless the deadline passes or the signal aborts first. */
export async function inTime<Value>(promise: Promise<Value>, { deadline, signal }: UnaryOptions): Promise<Value> {
  if (signal?.aborted === true) throw cancelled()
  const cut = Promise.withResolvers<never>()
  const onAbort = (): void => cut.reject(cancelled())
  const timer = setTimeout(
    () => cut.reject(new MillraceError('deadline_exceeded', 'the deadline passed before a server answered')),
    Math.max(0, deadline - Date.now()),
  )
  signal?.addEventListener('abort', onAbort, { once: true })
  try {
    return await Promise.race([promise, cut.promise])
  } finally {
    clearTimeout(timer)
    signal?.removeEventListener('abort', onAbort)
  }
}

function cancelled(): MillraceError {
  return new MillraceError('cancelled', 'the call was cancelled')
}
