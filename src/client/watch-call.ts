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

/** Ends without an error only when the caller stops reading, or the signal aborts. */
export async function* watchCall(
  client: GrpcClient,
  intervalMs: number,
  signal: AbortSignal | undefined,
): AsyncGenerator<WatchStatusResponse, void, undefined> {
  const request = create(WatchStatusRequestSchema, { interval: durationOf(intervalMs) })
  // No deadline: it lasts as long as somebody watches. A dead link is found by keepalive (server-connection.ts).
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
  try {
    for await (const response of call) yield response as WatchStatusResponse
  } catch (thrown) {
    if (signal?.aborted === true) return
    throw errorOfCall(thrown as FailedCall)
  } finally {
    signal?.removeEventListener('abort', cancel)
    call.cancel()
  }
  throw new MillraceError('unavailable', 'the server ended the call')
}
