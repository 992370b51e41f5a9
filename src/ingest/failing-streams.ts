// The streams to which publishes fail, with the last error of each: what a producer meets, whatever the cause.
//
// Whether a stream works again is unknown until something is appended to it, so an old failure is forgotten.

import { type ErrorCode, MillraceError, textWithCause } from '../errors.ts'

/** A failure counts for this long even when later appends succeed: under overload both happen in turn. */
const minShownMs = 10_000

/** Without a later append a failure is forgotten after this time. */
const maxShownMs = 60_000

/** At most this many streams are named. */
const maxNamed = 3

/** Errors that concern one call only. */
const callErrors: readonly ErrorCode[] = ['cancelled', 'draining', 'deadline_exceeded']

interface Failure {
  readonly error: MillraceError
  readonly atMs: number
  hasWorkedSince: boolean
}

export class FailingStreams {
  readonly #failures = new Map<string, Failure>()

  /** @param nowMs a monotonic clock, in milliseconds. */
  failed(stream: string, error: unknown, nowMs: number): void {
    if (!(error instanceof MillraceError) || error.class === 'data' || callErrors.includes(error.code)) return
    this.#failures.set(stream, { error, atMs: nowMs, hasWorkedSince: false })
  }

  worked(stream: string): void {
    if (this.#failures.size === 0) return
    const failure = this.#failures.get(stream)
    if (failure !== undefined) failure.hasWorkedSince = true
  }

  /** The error code of the newest failure, and a text that names the streams; null when none fails. */
  problem(nowMs: number): { readonly reason: ErrorCode; readonly message: string } | null {
    for (const [stream, { atMs, hasWorkedSince }] of this.#failures) {
      if (nowMs - atMs > (hasWorkedSince ? minShownMs : maxShownMs)) this.#failures.delete(stream)
    }
    const newest = [...this.#failures].sort(([, a], [, b]) => b.atMs - a.atMs)
    const [first] = newest
    if (first === undefined) return null
    const named = newest.slice(0, maxNamed).map(([stream, { error }]) => `${stream}: ${describe(error)}`)
    const more = newest.length > maxNamed ? [`${newest.length - maxNamed} more`] : []
    return { reason: first[1].error.code, message: `publishes fail to ${[...named, ...more].join('; ')}` }
  }
}

/** With the cause of an outage, which the error that a producer gets does not name. */
function describe(error: MillraceError): string {
  return error.class === 'overload' ? error.message : textWithCause(error)
}
