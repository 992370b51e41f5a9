// google.protobuf.Duration and the durations of the domain.

import { create } from '@bufbuild/protobuf'
import { type Duration, DurationSchema } from '@bufbuild/protobuf/wkt'
import { MillraceError } from '../errors.ts'
import type { Kind } from './shape.ts'

export function toDuration(milliseconds: number): Duration {
  const seconds = Math.floor(milliseconds / 1000)
  const nanos = Math.round((milliseconds - seconds * 1000) * 1e6)
  return create(DurationSchema, { seconds: BigInt(seconds), nanos })
}

/** In milliseconds, rounded up. */
export function millisecondsOf({ seconds, nanos }: Duration): number {
  return Number(seconds) * 1000 + Math.ceil(nanos / 1e6)
}

/** Milliseconds, also negative ones. */
export const anyDuration: Kind<number> = {
  toWire: toDuration,
  ofWire: millisecondsOf,
  toJson: (milliseconds) => milliseconds / 1000,
}

/** Milliseconds. A negative duration is refused. */
export const duration: Kind<number> = {
  ...anyDuration,
  ofWire: (wire: Duration, field) => {
    if (wire.seconds >= 0n && wire.nanos >= 0) return millisecondsOf(wire)
    throw new MillraceError('invalid_event', `${field} is negative`, { field })
  },
}

/** Seconds, also negative ones. */
export const durationInSeconds: Kind<number> = {
  toWire: (seconds) => toDuration(seconds * 1000),
  ofWire: ({ seconds, nanos }: Duration) => Number(seconds) + nanos / 1e9,
  toJson: (seconds) => seconds,
}
