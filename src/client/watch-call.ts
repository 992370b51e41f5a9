// One WatchStatus call: answers as they come, until the caller stops or the call ends.

import { create, fromBinary, toBinary } from '@bufbuild/protobuf'
import { type Client as GrpcClient, Metadata } from '@grpc/grpc-js'
import { MillraceError } from '../errors.ts'
import {
  WatchStatusRequestSchema,
  type WatchStatusResponse,
  WatchStatusResponseSchema,
} from '../gen/millrace/v1/admin_pb.ts'
import { errorOfCall, type FailedCall } from './grpc-errors.ts'
import { durationOf } from './wire-values.ts'

const path = '/millrace.v1.AdminService/WatchStatus'

export interface WatchCallOptions {
  readonly intervalMs: number
  /** Longest wait for an answer, in milliseconds. */
  readonly maxSilenceMs: number
  readonly signal: AbortSignal | undefined
}

/** Ends without an error only when the caller stops reading, or the signal aborts. */
export async function* watchCall(
  client: GrpcClient,
  { intervalMs, maxSilenceMs, signal }: WatchCallOptions,
): AsyncGenerator<WatchStatusResponse, void, undefined> {
  const request = create(WatchStatusRequestSchema, { interval: durationOf(intervalMs) })
  // No deadline: it lasts as long as somebody watches. A server that stands still is found by its silence.
  const call = client.makeServerStreamRequest<Buffer, WatchStatusResponse>(
    path,
    (bytes) => bytes,
    (bytes) => fromBinary(WatchStatusResponseSchema, bytes),
    Buffer.from(toBinary(WatchStatusRequestSchema, request)),
    new Metadata(),
  )
  // After the reading has ended nobody else listens, and the cancelling is told as an error.
  call.on('error', () => {})
  const cancel = (): void => call.cancel()
  signal?.addEventListener('abort', cancel, { once: true })
  let isSilent = false
  const listen = (): NodeJS.Timeout =>
    setTimeout(() => {
      isSilent = true
      call.cancel()
    }, maxSilenceMs)
  let silence = listen()
  try {
    for await (const response of call) {
      // What the reader does meanwhile is not the server's silence.
      clearTimeout(silence)
      yield response as WatchStatusResponse
      silence = listen()
    }
  } catch (thrown) {
    if (signal?.aborted === true) return
    if (isSilent) throw new MillraceError('unavailable', `the server has said nothing for ${maxSilenceMs / 1000} s`)
    throw errorOfCall(thrown as FailedCall)
  } finally {
    clearTimeout(silence)
    signal?.removeEventListener('abort', cancel)
    call.cancel()
  }
  throw new MillraceError('unavailable', 'the server ended the call')
}
