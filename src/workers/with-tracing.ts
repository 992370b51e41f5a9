// Makes a span for each attempt of a handler. What the handler publishes and calls belongs to it.

import { type TraceContext, traceContextOf } from '../event/trace-context.ts'
import type { MaybeTracer, SpanFailure } from '../telemetry/tracing.ts'
import type { Attempt, AttemptEnd } from './attempt.ts'
import type { HandlerDefinition } from './define-handler.ts'
import type { HandledEvent } from './handled-event.ts'

export function withTracing(
  { topic, group, request }: HandlerDefinition,
  { tracer = null }: { readonly tracer?: MaybeTracer },
  attempt: Attempt,
): Attempt {
  if (tracer === null) return attempt
  return async (events, context) => {
    const event = events.length === 1 ? events[0]! : undefined
    const span = tracer.process({
      ...{ topic, group, event, events: events.length, attempt: context.attempt, from: contextsOf(events) },
      ...(request === null || event === undefined ? {} : { requestId: event.id }),
    })
    const logger = () => context.logger(span.context)
    const result = await span.run(() => attempt(events, { ...context, logger, trace: span.context }))
    span.end(failureOf(result.ends))
    return result
  }
}

function contextsOf(events: readonly HandledEvent[]): TraceContext[] {
  return events.flatMap(({ attributes }) => traceContextOf(attributes.traceparent, attributes.tracestate) ?? [])
}

/** Null also when the handler has asked for another attempt. */
function failureOf(ends: readonly AttemptEnd[]): SpanFailure | null {
  for (const end of ends) if (end.is === 'dead' || (end.is === 'failed' && end.wasAsked !== true)) return end
  return null
}
