// Converts between microseconds since 1970 and the parts of a google.protobuf.Timestamp.

export interface Timestamp {
  readonly seconds: bigint
  readonly nanos: number
}

export function timestampOf(micros: number): Timestamp {
  const seconds = Math.floor(micros / 1e6)
  return { seconds: BigInt(seconds), nanos: Math.round(micros - seconds * 1e6) * 1000 }
}

/** Whole microseconds; may be inexact beyond 2^53. */
export function microsOf({ seconds, nanos }: Timestamp): number {
  return Number(seconds) * 1e6 + Math.floor(nanos / 1000)
}
