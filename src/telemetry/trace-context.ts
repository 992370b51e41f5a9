// The trace that a request or an event belongs to, for the log.

const traceparentPattern = /^([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}(-.*)?$/

/**
 * The log fields of a `traceparent` (https://www.w3.org/TR/trace-context): none when there is none or it is malformed. Of
 * an unknown version the first four fields are used, as the standard requires.
 */
export function traceFields(
  traceparent: string | undefined,
): { readonly trace_id: string; readonly span_id: string } | Record<string, never> {
  const match = traceparent === undefined ? null : traceparentPattern.exec(traceparent)
  if (match === null) return {}
  const [, version, traceId, spanId, rest] = match
  if (version === 'ff' || (version === '00' && rest !== undefined)) return {}
  if (traceId === undefined || spanId === undefined || /^0+$/.test(traceId) || /^0+$/.test(spanId)) return {}
  return { trace_id: traceId, span_id: spanId }
}
