// One WatchStatus call: yields answers as they arrive, until the caller stops or the call ends.

import { create, fromBinary, type Message, toBinary } from '@bufbuild/protobuf'
import { type Client as GrpcClient, Metadata } from '@grpc/grpc-js'
import { MillraceError } from '../errors.ts'
import { WatchStatusRequestSchema } from '../gen/millrace/v1/admin_pb.ts'
import type { Observed } from '../pipeline/pipeline.ts'
import { toDuration } from '../wire/durations.ts'
import { observed } from '../wire/status.ts'
import { errorOfCall, type FailedCall } from './grpc-errors.ts'

const path = '/millrace.v1.AdminService/WatchStatus'

export interface WatchCallOptions {
  readonly intervalMs: number
  /** Longest wait for an answer, in milliseconds. */
  readonly maxSilenceMs: number
  readonly signal: AbortSignal | undefined
  readonly metadata?: Metadata | undefined
}

/** Ends without an error only when the caller stops reading, or the signal aborts. */
export async function* watchCall(
  client: GrpcClient,
  { intervalMs, maxSilenceMs, signal, metadata = new Metadata() }: WatchCallOptions,
): AsyncGenerator<Observed, void, undefined> {
  const request = create(WatchStatusRequestSchema, { interval: toDuration(intervalMs) })
  // No deadline: the call lasts as long as the caller watches. A hanging server is detected by its silence.
  const call = client.makeServerStreamRequest<Buffer, Message>(
    path,
    (bytes) => bytes,
    (bytes) => fromBinary(observed.schema, bytes),
    Buffer.from(toBinary(WatchStatusRequestSchema, request)),
    metadata,
  )
  // After the loop has ended nothing else listens, and cancelling emits an error.
  call.on('error', () => {})
  const cancel = (): void => call.cancel()
  signal?.addEventListener('abort', cancel, { once: true })
  let isSilent = false
  const startTimer = (): NodeJS.Timeout =>
    setTimeout(() => {
      isSilent = true
      call.cancel()
    }, maxSilenceMs)
  let silence = startTimer()
  try {
    for await (const response of call) {
      // The time that the caller takes is not the server's silence.
      clearTimeout(silence)
      yield observed.ofMessage(response as Message)
      silence = startTimer()
    }
  } catch (thrown) {
    if (signal?.aborted === true) return
    if (isSilent) throw new MillraceError('unavailable', `the server sent nothing for ${maxSilenceMs / 1000} s`)
    throw errorOfCall(thrown as FailedCall)
  } finally {
    clearTimeout(silence)
    signal?.removeEventListener('abort', cancel)
    call.cancel()
  }
  throw new MillraceError('unavailable', 'the server ended the call')
}
