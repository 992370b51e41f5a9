// The trace that a gRPC call belongs to, as its metadata say.

import type { Metadata } from '@grpc/grpc-js'
import { type TraceContext, traceContextOf } from '../../event/trace-context.ts'

/** Undefined when they name none, or a malformed one. */
export function traceOfMetadata(metadata: Metadata): TraceContext | undefined {
  const [traceparent] = metadata.get('traceparent')
  return traceparent === undefined ? undefined : traceContextOf(traceparent, metadata.get('tracestate').join(','))
}
