// What answers of IngestService say of events, and the overflow policy of its requests. Written by hand, without tables:
// it is made for each message.
//
// Not its job: the requests, which api/grpc/message-fields.ts reads and client/ writes as bytes.

import { create, type MessageInitShape } from '@bufbuild/protobuf'
import { type ErrorCode, errorCodes, isRetryable, type Taken } from '../errors.ts'
import type { Durability } from '../event/durability.ts'
import {
  Durability as DurabilityNumber,
  Overflow as OverflowNumber,
  type PublishStreamResponse,
  PublishStreamResponseSchema,
  PublishStreamStatus,
  type Rejection as RejectionMessage,
  type RejectionSchema,
} from '../gen/millrace/v1/ingest_pb.ts'
import type { Overflow, Rejection } from '../pipeline/pipeline.ts'
import { millisecondsOf, toDuration } from './durations.ts'

const durabilityNumbers: Readonly<Record<Durability, DurabilityNumber>> = {
  memory: DurabilityNumber.MEMORY,
  broker: DurabilityNumber.BROKER,
  disk: DurabilityNumber.DISK,
  replicated: DurabilityNumber.REPLICATED,
}
export const durabilities = Object.keys(durabilityNumbers) as Durability[]

export function toDurability(name: Durability): DurabilityNumber {
  return durabilityNumbers[name]
}

/** A number that is not known is the weakest level: nothing stronger is promised. */
export function ofDurability(number: number): Durability {
  return durabilities.find((name) => durabilityNumbers[name] === number) ?? 'memory'
}

export const overflowNumbers: Readonly<Record<Overflow, OverflowNumber>> = {
  reject: OverflowNumber.REJECT,
  drop: OverflowNumber.DROP,
  wait: OverflowNumber.WAIT,
}

/** Null for an unknown number. */
export function ofOverflow(number: number): Overflow | null {
  if (number === OverflowNumber.UNSPECIFIED) return 'reject'
  return (Object.keys(overflowNumbers) as Overflow[]).find((name) => overflowNumbers[name] === number) ?? null
}

/** The default retry hint. Every refusal for lack of room needs a hint, because without one a client must not retry. */
export const defaultRetryAfterMs = 1000

/** Undefined when a retry cannot help. */
export function retryAfterMsOf({ code, retryAfterMs }: Rejection): number | undefined {
  return retryAfterMs ?? (isRetryable(code) ? defaultRetryAfterMs : undefined)
}

/** @param firstIndex index of the message's first event in the call; @param sequence of the message, `Produce` only. */
export function toRejection(
  rejection: Rejection,
  firstIndex: number,
  sequence: number,
): MessageInitShape<typeof RejectionSchema> {
  const { id, code, message, count } = rejection
  const retryAfterMs = retryAfterMsOf(rejection)
  return {
    sequence: BigInt(sequence),
    index: BigInt(firstIndex + rejection.index),
    ...(count !== undefined && { count }),
    id,
    code,
    message,
    ...(retryAfterMs !== undefined && { retryAfter: toDuration(retryAfterMs) }),
  }
}

export function ofRejection({ index, count, id, code, message, retryAfter }: RejectionMessage): Rejection {
  return {
    index: Number(index),
    ...(count > 1 && { count }),
    id,
    code: isErrorCode(code) ? code : 'internal',
    message,
    ...(retryAfter === undefined ? {} : { retryAfterMs: millisecondsOf(retryAfter) }),
  }
}

export function isErrorCode(text: string): text is ErrorCode {
  return Object.hasOwn(errorCodes, text)
}

/** What a call took: the answer to PublishStream, and a detail of the status of a call that failed. */
export function toSummary(
  { accepted, dropped, rejected }: Taken,
  rejections: MessageInitShape<typeof RejectionSchema>[],
  durability: DurabilityNumber,
): PublishStreamResponse {
  const refused = dropped + rejected
  const some = accepted > 0 ? PublishStreamStatus.SOME_REFUSED : PublishStreamStatus.NONE_ACCEPTED
  return create(PublishStreamResponseSchema, {
    received: BigInt(accepted + refused),
    accepted: BigInt(accepted),
    dropped: BigInt(dropped),
    rejected: BigInt(rejected),
    status: refused === 0 ? PublishStreamStatus.ALL_ACCEPTED : some,
    rejections,
    durability,
  })
}

export function ofSummary({ accepted, dropped, rejected }: PublishStreamResponse): Taken {
  return { accepted: Number(accepted), dropped: Number(dropped), rejected: Number(rejected) }
}
