// Makes a span for each turn of a worker pool, with links to those who published its batches.

import { toMillraceError } from '../errors.ts'
import { traceOfBatch } from '../event/batch-trace.ts'
import type { TraceContext } from '../event/trace-context.ts'
import type { Delivery } from '../event-log/event-log.ts'
import type { MaybeTracer } from '../telemetry/tracing.ts'
import type { Handler } from './handler.ts'

export function tracedTurns(tracer: MaybeTracer, handler: Handler): Handler {
  if (tracer === null) return handler
  return async (deliveries, context) => {
    const { topic, group } = context
    let events = 0
    for (const { batch } of deliveries) events += batch.count
    const span = tracer.process({ topic, group, events, from: contextsOf(deliveries) })
    try {
      const outcomes = await span.run(() => handler(deliveries, context))
      span.end(null)
      return outcomes
    } catch (thrown) {
      span.end(toMillraceError(thrown))
      throw thrown
    }
  }
}

function* contextsOf(deliveries: readonly Delivery[]): Generator<TraceContext> {
  for (const { batch } of deliveries) {
    const trace = batch.damaged === true ? undefined : traceOfBatch(batch.bytes)
    if (trace !== undefined) yield trace
  }
}
