// Converts errors to gRPC: a status, and google.rpc details in the trailer grpc-status-details-bin.
//
// Every error has ErrorInfo (reason = Millrace's code); invalid input, and what is not found, has a BadRequest that names the field. RetryInfo
// is set only when a retry time is known: without it a client must not retry RESOURCE_EXHAUSTED. A failed publish has
// the summary of what it took (PublishStreamResponse), when that is known.

import { create, type MessageInitShape, toBinary } from '@bufbuild/protobuf'
import { type Any, anyPack } from '@bufbuild/protobuf/wkt'
import { Metadata, type StatusObject } from '@grpc/grpc-js'
import type { MillraceError } from '../../errors.ts'
import { BadRequestSchema, ErrorInfoSchema, RetryInfoSchema } from '../../gen/google/rpc/error_details_pb.ts'
import { StatusSchema } from '../../gen/google/rpc/status_pb.ts'
import { Durability, PublishStreamResponseSchema, type RejectionSchema } from '../../gen/millrace/v1/ingest_pb.ts'
import { toDuration } from '../../wire/durations.ts'
import { defaultRetryAfterMs, toSummary } from '../../wire/publish.ts'
import { grpcStatus, grpcStatusOf, isRefusedForRoom } from '../status.ts'

/** Some clients refuse trailers of 8 KiB or more, and these bytes are sent as base64. */
const maxDetailsBytes = 4096
const maxMessageLength = 500
const maxViolations = 8
const maxRejections = 8
const maxViolationLength = 200

/** An invalid field, by its path, for example `events[3].type`. */
export interface FieldViolation {
  readonly field: string
  readonly description: string
}

/** The trailers of a failed call, with their error for the log. */
export class FailureMetadata extends Metadata {
  readonly failure: MillraceError

  constructor(failure: MillraceError) {
    super()
    this.failure = failure
  }
}

/**
 * @param violations replace the error's own field; only the first eight are sent.
 * @param rejections of a call that has `taken` events; only the first eight are sent.
 * @param code in place of that of the error.
 */
export function richStatusOf(
  error: MillraceError,
  violations: readonly FieldViolation[] = [],
  rejections: readonly MessageInitShape<typeof RejectionSchema>[] = [],
  code: number = grpcStatusOf(error.code),
): StatusObject {
  const message = cut(error.message, maxMessageLength)
  const metadata = new FailureMetadata(error)
  const namesField = code === grpcStatus.INVALID_ARGUMENT || code === grpcStatus.NOT_FOUND
  const info = errorInfoOf(error, namesField ? undefined : error.field)
  const details: Any[] = [anyPack(ErrorInfoSchema, create(ErrorInfoSchema, info))]
  const retryAfterMs = error.retryAfterMs ?? (isRefusedForRoom(error.code) ? defaultRetryAfterMs : undefined)
  if (retryAfterMs !== undefined) {
    details.push(anyPack(RetryInfoSchema, create(RetryInfoSchema, { retryDelay: toDuration(retryAfterMs) })))
    metadata.set('grpc-retry-pushback-ms', String(Math.ceil(retryAfterMs)))
  }
  const badRequest = namesField ? badRequestOf(error, violations) : []
  const whole = encodeStatus(code, message, [...details, ...summaryOf(error, rejections), ...badRequest])
  metadata.set(
    'grpc-status-details-bin',
    whole.length <= maxDetailsBytes ? whole : encodeStatus(code, message, [...details, ...summaryOf(error, [])]),
  )
  return { code, details: message, metadata }
}

/** @param field where no BadRequest has it: a gateway answers with it, as the server would over HTTP. */
function errorInfoOf(
  { code, highestProducerEpoch }: MillraceError,
  field: string | undefined,
): MessageInitShape<typeof ErrorInfoSchema> {
  const metadata: Record<string, string> = {}
  if (highestProducerEpoch !== undefined) metadata.highest_producer_epoch = String(highestProducerEpoch)
  if (field !== undefined) metadata.field = cut(field, maxViolationLength)
  return { reason: code.toUpperCase(), domain: 'millrace', metadata }
}

function encodeStatus(code: number, message: string, details: Any[]): Buffer {
  return Buffer.from(toBinary(StatusSchema, create(StatusSchema, { code, message, details })))
}

function summaryOf({ taken }: MillraceError, rejections: readonly MessageInitShape<typeof RejectionSchema>[]): Any[] {
  if (taken === undefined) return []
  const summary = toSummary(taken, rejections.slice(0, maxRejections), Durability.UNSPECIFIED)
  return [anyPack(PublishStreamResponseSchema, summary)]
}

function badRequestOf(error: MillraceError, violations: readonly FieldViolation[]): Any[] {
  const own = error.field === undefined ? [] : [{ field: error.field, description: error.message }]
  const fieldViolations = (violations.length > 0 ? violations : own).slice(0, maxViolations).map((violation) => ({
    field: cut(violation.field, maxViolationLength),
    description: cut(violation.description, maxViolationLength),
  }))
  return fieldViolations.length === 0 ? [] : [anyPack(BadRequestSchema, create(BadRequestSchema, { fieldViolations }))]
}

/** Made well formed, because grpc-js passes the message to encodeURI, which throws on a lone surrogate. */
function cut(text: string, maxLength: number): string {
  return (text.length <= maxLength ? text : `${text.slice(0, maxLength - 1)}…`).toWellFormed()
}
