// Who asks: the request id and the trace that a caller sends along, for the log.
//
// Job: take what is safe to print, make what is missing. Not its job: keeping either with the events.

import { randomUUID } from 'node:crypto'

const requestIdPattern = /^[A-Za-z0-9._~:/+=@-]{1,128}$/

/** The caller's own id when it is short and plain, else a new one. */
export function requestIdOf(given: string | undefined): string {
  return given !== undefined && requestIdPattern.test(given) ? given : randomUUID()
}

export interface TraceContext {
  readonly traceId: string
  readonly spanId: string
}

const traceparentPattern = /^([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}(-.*)?$/

/**
 * Reads a `traceparent` header (https://www.w3.org/TR/trace-context); null when it is none. A version that we do not
 * know is read by its first four fields, as the standard asks.
 */
export function traceContextOf(traceparent: string | undefined): TraceContext | null {
  const match = traceparent === undefined ? null : traceparentPattern.exec(traceparent)
  if (match === null) return null
  const [, version, traceId, spanId, rest] = match
  if (version === 'ff' || (version === '00' && rest !== undefined)) return null
  if (traceId === undefined || spanId === undefined || /^0+$/.test(traceId) || /^0+$/.test(spanId)) return null
  return { traceId, spanId }
}
