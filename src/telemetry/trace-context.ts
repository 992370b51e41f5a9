// The trace that a request or an event belongs to, for the log.

import { traceIdsOf } from '../event/trace-context.ts'

/** The log fields of a `traceparent`: none when there is none or it is malformed. */
export function traceFields(
  traceparent: string | undefined,
): { readonly trace_id: string; readonly span_id: string } | Record<string, never> {
  const ids = traceparent === undefined ? null : traceIdsOf(traceparent)
  return ids === null ? {} : { trace_id: ids.traceId, span_id: ids.spanId }
}
