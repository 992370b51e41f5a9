// Converts a gRPC status to a MillraceError.
//
// The server puts its own code into the details (google.rpc.Status with ErrorInfo). A status without details came from
// the transport, from grpc-js or from a proxy; then the plain status code decides.

import { fromBinary } from '@bufbuild/protobuf'
import { anyUnpack } from '@bufbuild/protobuf/wkt'
import { status as grpcStatus, type Metadata } from '@grpc/grpc-js'
import { type ErrorCode, errorCodes, MillraceError, type MillraceErrorOptions } from '../errors.ts'
import { BadRequestSchema, ErrorInfoSchema, RetryInfoSchema } from '../gen/google/rpc/error_details_pb.ts'
import { type Status, StatusSchema } from '../gen/google/rpc/status_pb.ts'
import { PublishStreamResponseSchema } from '../gen/millrace/v1/ingest_pb.ts'
import { millisecondsOf } from '../wire/durations.ts'
import { isErrorCode, ofSummary } from '../wire/publish.ts'

/** A failed call as grpc-js reports it: a ServiceError or a StatusObject. */
export interface FailedCall {
  readonly code: number
  readonly details: string
  readonly metadata?: Metadata
}

const codeOfStatus: Readonly<Record<number, ErrorCode>> = {
  [grpcStatus.CANCELLED]: 'cancelled',
  [grpcStatus.UNKNOWN]: 'internal',
  [grpcStatus.INVALID_ARGUMENT]: 'invalid_event',
  [grpcStatus.DEADLINE_EXCEEDED]: 'deadline_exceeded',
  [grpcStatus.NOT_FOUND]: 'not_found',
  [grpcStatus.ALREADY_EXISTS]: 'already_exists',
  [grpcStatus.PERMISSION_DENIED]: 'permission_denied',
  [grpcStatus.RESOURCE_EXHAUSTED]: 'backlogged',
  [grpcStatus.FAILED_PRECONDITION]: 'failed_precondition',
  [grpcStatus.ABORTED]: 'failed_precondition',
  [grpcStatus.OUT_OF_RANGE]: 'out_of_range',
  [grpcStatus.UNIMPLEMENTED]: 'unimplemented',
  [grpcStatus.INTERNAL]: 'internal',
  [grpcStatus.UNAVAILABLE]: 'unavailable',
  [grpcStatus.DATA_LOSS]: 'corrupt',
  [grpcStatus.UNAUTHENTICATED]: 'unauthenticated',
}

/** The error of a failed call, with Millrace's own code. */
export function errorOfCall(call: FailedCall): MillraceError {
  const options: { -readonly [Name in keyof MillraceErrorOptions]: MillraceErrorOptions[Name] } = { cause: call }
  let code = codeWithoutDetails(call)
  for (const detail of readStatus(call.metadata)?.details ?? []) {
    const info = anyUnpack(detail, ErrorInfoSchema)
    const highestEpoch = info?.metadata.highest_producer_epoch
    if (highestEpoch !== undefined) options.highestProducerEpoch = Number(highestEpoch)
    if (info?.metadata.field !== undefined) options.field = info.metadata.field
    const reason = info?.reason.toLowerCase()
    if (reason !== undefined && isErrorCode(reason)) code = reason
    const delay = anyUnpack(detail, RetryInfoSchema)?.retryDelay
    if (delay !== undefined) options.retryAfterMs = millisecondsOf(delay)
    const summary = anyUnpack(detail, PublishStreamResponseSchema)
    if (summary !== undefined) options.taken = ofSummary(summary)
    const field = anyUnpack(detail, BadRequestSchema)?.fieldViolations[0]?.field
    if (field !== undefined) options.field ??= field
  }
  return new MillraceError(code, call.details === '' ? errorCodes[code].title : call.details, options)
}

/**
 * Whether the call certainly did not start: the server was stopping, or became unreachable before the call was sent. It
 * can be retried at another address, even when it is not idempotent.
 */
export function wasTurnedAway(error: unknown): boolean {
  if (!(error instanceof MillraceError)) return false
  const { code, cause } = error
  if (code === 'draining') return true
  const details = (cause as Partial<FailedCall> | undefined)?.details ?? ''
  // The messages of grpc-js: the first stands for HTTP/2's REFUSED_STREAM, the second for no connection to send on.
  return code === 'unavailable' && /^Stream refused by server|^No connection established/.test(details)
}

function codeWithoutDetails({ code, details }: FailedCall): ErrorCode {
  // The status of grpc-js for a message above its limit, which must not be resent unchanged.
  if (code === grpcStatus.RESOURCE_EXHAUSTED && /larger than max/i.test(details)) return 'message_too_large'
  return codeOfStatus[code] ?? 'internal'
}

function readStatus(metadata: Metadata | undefined): Status | null {
  const encoded = metadata?.get('grpc-status-details-bin')[0]
  if (!(encoded instanceof Uint8Array)) return null
  try {
    return fromBinary(StatusSchema, encoded)
  } catch {
    // Broken details must not hide the status that came with them.
    return null
  }
}
