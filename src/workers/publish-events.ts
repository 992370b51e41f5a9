// What a handler publishes: one message of events, all of them or none.
//
// Job: encode the events, check all of them before any is stored, and turn the verdict into an error.
// Not its job: to store them. They go the way of every message (ingest/), but without a limit on what waits: a handler
// that waited for room in its own topic would wait for itself. What bounds them are `limits` for each call, and the disk.

import { MillraceError, type MillraceErrorOptions } from '../errors.ts'
import { checkEventInput } from '../event/check-event-input.ts'
import { limits } from '../event/event.ts'
import type { EventInput, EventStamper } from '../event/event-input.ts'
import { MessageScanner } from '../event/message-scan.ts'
import { BatchBuilder } from '../event/record-batch.ts'
import { type TraceContext, traceAttributesOf } from '../event/trace-context.ts'
import type { Pipeline } from '../pipeline/pipeline.ts'
import { rejectedEvents } from '../pipeline/rejections.ts'
import type { AttemptAbort } from './attempt-abort.ts'

/**
 * Publishes an encoded message to a topic. Resolves when its events are durable. Errors: as HandlerContext.publish.
 * @param abort of the attempt, by which the thread of a handler finds its call.
 */
export type PublishMessageTo = (topic: string, message: Uint8Array, abort?: AttemptAbort) => Promise<void>

/**
 * The events as one message. Each belongs to the trace of the attempt, unless it has a `traceparent` of its own.
 * Errors: as HandlerContext.publish, where they concern the events themselves.
 */
export function encodeEvents(
  events: readonly EventInput[],
  stamper: EventStamper,
  trace: TraceContext | undefined,
): Uint8Array {
  const { maxEventsPerMessage, maxMessageBytes } = limits
  if (events.length > maxEventsPerMessage) {
    const text = `${events.length} events are published at once; the limit is ${maxEventsPerMessage}`
    throw new MillraceError('too_many_events', text, { field: 'events' })
  }
  const added = trace === undefined ? [] : traceAttributesOf(trace)
  const builder = new BatchBuilder()
  for (const [index, event] of events.entries()) {
    const stamped = orThrowAt(index, () => stamper.stamp(checkEventInput(event)))
    const own = [...(stamped.attributes ?? [])]
    const hasTrace = own.some(([name]) => name === 'traceparent')
    builder.add({ ...stamped, attributes: hasTrace ? own : [...own, ...added] })
    if (builder.byteLength <= maxMessageBytes) continue
    const text = `the events have more than ${maxMessageBytes} bytes: publish fewer at once`
    throw new MillraceError('message_too_large', text, { field: 'events' })
  }
  return builder.take()
}

/** @param publish that of an ingest without a limit on what waits. */
export function publishAllOrNone(publish: Pipeline['publish']): PublishMessageTo {
  const scanner = new MessageScanner()
  return async (topic, message) => {
    const { refusals } = scanner.scan(message)
    if (refusals[0] !== undefined) throw errorAt(refusals[0].index, refusals[0])
    const { accepted, dropped, rejections } = await publish({ topic, overflow: 'reject', message })
    if (rejections[0] === undefined) return
    // Events of several partitions or lanes, some of which the full disk has no room for.
    const rejected = rejectedEvents(rejections)
    throw errorAt(rejections[0].index, rejections[0], { taken: { accepted, dropped, rejected } })
  }
}

/** Errors: `deadline_exceeded` (the attempt is over: its time limit has passed, or its event was taken from it). */
export function refuseLate({ reason }: AttemptAbort): void {
  if (reason === null || reason === 'shutdown') return
  const what = reason === 'timeout' ? 'the time limit of the attempt' : 'the event was taken from its attempt'
  throw new MillraceError('deadline_exceeded', `nothing is published after ${what}`)
}

function orThrowAt<T>(index: number, run: () => T): T {
  try {
    return run()
  } catch (thrown) {
    throw thrown instanceof MillraceError ? errorAt(index, thrown) : thrown
  }
}

function errorAt(
  index: number,
  { code, message, field }: Pick<MillraceError, 'code' | 'message'> & { readonly field?: string | undefined },
  options: MillraceErrorOptions = {},
): MillraceError {
  const path = `events[${index}]`
  return new MillraceError(code, `${path}: ${message}`, {
    ...options,
    field: field === undefined ? path : `${path}.${field}`,
  })
}
