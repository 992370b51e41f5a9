// Times in whole microseconds since 1970, and the parts of a google.protobuf.Timestamp.

/** Microseconds since 1970: a number where it is exact, a bigint beyond 2^53 (before 1684 and after 2255). */
export type Micros = number | bigint

export interface Timestamp {
  readonly seconds: bigint
  readonly nanos: number
}

export function timestampOf(micros: Micros): Timestamp {
  const seconds = secondsOf(micros)
  return { seconds: BigInt(seconds), nanos: microsAfter(seconds, micros) * 1000 }
}

/** Digits below the microsecond are cut off. */
export function microsOf({ seconds, nanos }: Timestamp): Micros {
  return joinMicros(Number(seconds), Math.floor(nanos / 1000))
}

/** The microseconds that a database writes as a decimal integer. */
export function parseMicros(text: string): Micros {
  const micros = Number(text)
  return Number.isSafeInteger(micros) ? micros : BigInt(text)
}

/** @param micros whole microseconds after these seconds. */
export function joinMicros(seconds: number, micros: number): Micros {
  const sum = seconds * 1e6 + micros
  return Number.isSafeInteger(sum) ? sum : BigInt(seconds) * 1_000_000n + BigInt(micros)
}

/** The whole seconds, rounded down. */
export function secondsOf(micros: Micros): number {
  if (typeof micros === 'number') return Math.floor(Math.round(micros) / 1e6)
  return Number(micros / 1_000_000n) - (micros % 1_000_000n < 0n ? 1 : 0)
}

/** 0 to 999,999. @param seconds those of `secondsOf`. */
export function microsAfter(seconds: number, micros: Micros): number {
  if (typeof micros === 'number') return Math.round(micros) - seconds * 1e6
  return Number(micros - BigInt(seconds) * 1_000_000n)
}
