// The span of a message that is published, and the trace that its batches get.

import { encodeTrace, ownTraceOf, withTrace } from '../event/batch-trace.ts'
import { defaultSource } from '../event/event.ts'
import { EventReader, textOf } from '../event/record-batch.ts'
import type { TraceContext } from '../event/trace-context.ts'
import type { Span, TracedEvent, Tracer } from '../telemetry/tracing.ts'
import type { MessageSlice } from './slice-message.ts'

/** @param parent that of the call. */
export function beginSpan(
  tracer: Tracer,
  topic: string,
  slices: readonly MessageSlice[],
  parent: TraceContext | undefined,
): Span {
  let events = 0
  for (const { count } of slices) events += count
  // A slice that was refused unread has no batch.
  const [batch] = slices[0]!.batches
  const event = events === 1 && batch !== undefined ? onlyEvent(batch.bytes) : undefined
  return tracer.send({ topic, events, event, parent, from: creationContexts(slices) })
}

/** The slices with the trace in each batch, which copies them. */
export function withTraceOf(trace: TraceContext, slices: readonly MessageSlice[]): MessageSlice[] {
  const encoded = encodeTrace(trace)
  return slices.map((slice) => ({
    ...slice,
    batches: slice.batches.map((batch) => ({ ...batch, bytes: withTrace(encoded, batch.bytes) })),
  }))
}

/** Where the events began, as they say themselves. */
function* creationContexts(slices: readonly MessageSlice[]): Generator<TraceContext> {
  const reader = new EventReader()
  for (const { batches } of slices) {
    for (const { bytes } of batches) {
      reader.reset(bytes)
      while (reader.next()) {
        const trace = ownTraceOf(bytes, reader.fields)
        if (trace !== undefined) yield trace
      }
    }
  }
}

function onlyEvent(bytes: Uint8Array): TracedEvent {
  const reader = new EventReader().reset(bytes)
  reader.next()
  const { idStart, idEnd, sourceStart, sourceEnd, typeStart, typeEnd, subjectStart, subjectEnd } = reader.fields
  return {
    id: textOf(bytes, idStart, idEnd),
    source: textOf(bytes, sourceStart, sourceEnd) || defaultSource,
    type: textOf(bytes, typeStart, typeEnd),
    subject: textOf(bytes, subjectStart, subjectEnd),
  }
}
