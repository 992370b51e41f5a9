// The request id and the trace context that a caller sends, for the log.
//
// Job: accept values that are safe to log, and generate a missing request id. Not its job: storing them with events.

import { randomUUID } from 'node:crypto'

const requestIdPattern = /^[A-Za-z0-9._~:/+=@-]{1,128}$/

/** The caller's request id when it is short and plain, otherwise a new one. */
export function requestIdOf(given: string | undefined): string {
  return given !== undefined && requestIdPattern.test(given) ? given : randomUUID()
}

export interface TraceContext {
  readonly traceId: string
  readonly spanId: string
}

const traceparentPattern = /^([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}(-.*)?$/

/**
 * Parses a `traceparent` header (https://www.w3.org/TR/trace-context); null when it is malformed. Of an unknown version
 * the first four fields are used, as the standard requires.
 */
export function traceContextOf(traceparent: string | undefined): TraceContext | null {
  const match = traceparent === undefined ? null : traceparentPattern.exec(traceparent)
  if (match === null) return null
  const [, version, traceId, spanId, rest] = match
  if (version === 'ff' || (version === '00' && rest !== undefined)) return null
  if (traceId === undefined || spanId === undefined || /^0+$/.test(traceId) || /^0+$/.test(spanId)) return null
  return { traceId, spanId }
}
