// Converts single values between the wire's form and the domain's.

import { create } from '@bufbuild/protobuf'
import { type Duration, DurationSchema } from '@bufbuild/protobuf/wkt'
import { type ErrorCode, errorCodes } from '../errors.ts'
import { Overflow as OverflowOnWire, type Rejection as RejectionOnWire } from '../gen/millrace/v1/ingest_pb.ts'
import type { Overflow, PublishVerdict, Rejection } from '../pipeline/pipeline.ts'

export type Durability = PublishVerdict['durability']

export const overflowOnWire: Readonly<Record<Overflow, OverflowOnWire>> = {
  reject: OverflowOnWire.REJECT,
  drop: OverflowOnWire.DROP,
  wait: OverflowOnWire.WAIT,
}

const durabilities: readonly Durability[] = ['memory', 'broker', 'disk', 'replicated']

/** Unspecified and unknown numbers become the weakest level: nothing stronger is promised. */
export function durabilityOfNumber(value: number): Durability {
  return durabilities[value - 1] ?? 'memory'
}

export function durabilityOfText(text: string): Durability {
  return durabilities.find((durability) => durability === text) ?? 'memory'
}

export function rejectionOfWire({ index, count, id, code, message, retryAfter }: RejectionOnWire): Rejection {
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

export function millisecondsOf({ seconds, nanos }: Duration): number {
  return Number(seconds) * 1000 + Math.ceil(nanos / 1e6)
}

export function durationOf(milliseconds: number): Duration {
  const seconds = Math.floor(milliseconds / 1000)
  return create(DurationSchema, { seconds: BigInt(seconds), nanos: Math.round((milliseconds - seconds * 1000) * 1e6) })
}
