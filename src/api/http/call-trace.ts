// The trace that an HTTP request belongs to, as its headers say.

import type { IncomingHttpHeaders } from 'node:http'
import { type TraceContext, traceContextOf } from '../../event/trace-context.ts'

/** Undefined when they name none, or a malformed one. */
export function traceOfHeaders({ traceparent, tracestate }: IncomingHttpHeaders): TraceContext | undefined {
  return traceContextOf(traceparent, tracestate)
}
