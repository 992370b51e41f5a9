// An event as a handler sees it.

import { defaultContentType, defaultSource, type Event, eventIdTextOf, type Lane } from '../event/event.ts'
import { type TraceContext, traceAttributesOf } from '../event/trace-context.ts'
import { type Micros, microsAfter, secondsOf } from '../lib/timestamp.ts'

/** Plain data: it can go to a thread. */
export interface PlainEvent {
  /** The key of its row: the id, when that is a UUID. */
  readonly eventId: string
  readonly id: string
  readonly source: string
  readonly type: string
  /** '' when the producer gave none; likewise `key`. */
  readonly subject: string
  /** When it happened; the time of receipt when the producer gave none. */
  readonly time: Date
  readonly receivedAt: Date
  readonly data: Uint8Array
  readonly dataContentType: string
  readonly priority: Lane
  readonly key: string
  readonly attributes: Readonly<Record<string, string>>
}

export interface HandledEvent extends PlainEvent {
  /** The data as JSON. Throws a SyntaxError when it is not JSON. */
  json(): unknown
  /** The data as text. */
  text(): string
}

/** @param trace that of its batch, for an event that names none. */
export function toHandledEvent(event: Event, receivedAtMicros: number, trace?: TraceContext): HandledEvent {
  const { id, type, subject, data, lane, key, attributes } = event
  const source = event.source || defaultSource
  const text = textReader(data)
  return {
    eventId: eventIdTextOf(source, id),
    id,
    source,
    type,
    subject,
    time: dateOf(event.timeMicros ?? receivedAtMicros),
    receivedAt: dateOf(receivedAtMicros),
    data,
    dataContentType: event.dataContentType || defaultContentType,
    priority: lane,
    key,
    attributes: Object.fromEntries(
      trace === undefined || attributes.has('traceparent') ? attributes : [...attributes, ...traceAttributesOf(trace)],
    ),
    text,
    json: () => JSON.parse(text()),
  }
}

/** Digits below the millisecond are cut off. A double would round 9999-12-31T23:59:59.999999 up to the year 10000. */
function dateOf(micros: Micros): Date {
  const seconds = secondsOf(micros)
  return new Date(seconds * 1000 + Math.floor(microsAfter(seconds, micros) / 1000))
}

export function withReaders(event: PlainEvent): HandledEvent {
  const text = textReader(event.data)
  return { ...event, text, json: () => JSON.parse(text()) }
}

function textReader({ buffer, byteOffset, byteLength }: Uint8Array): () => string {
  return () => Buffer.from(buffer, byteOffset, byteLength).toString()
}

/** The event with bytes of its own: a copy for a thread must not copy the batch. */
export function toPlainEvent({ json: _, text: __, data, ...fields }: HandledEvent): PlainEvent {
  return { ...fields, data: Uint8Array.from(data) }
}
