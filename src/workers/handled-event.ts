// An event as a handler sees it.

import { defaultContentType, defaultSource, type Event, eventIdOf, type Lane, uuidFromBytes } from '../event/event.ts'

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

export function toHandledEvent(event: Event, receivedAtMicros: number): HandledEvent {
  const { id, type, subject, data, lane, key, attributes } = event
  const source = event.source || defaultSource
  return withReaders({
    eventId: uuidFromBytes(eventIdOf(source, id)),
    ...{ id, source, type, subject, data, key },
    time: new Date(Number(event.timeMicros ?? receivedAtMicros) / 1000),
    receivedAt: new Date(receivedAtMicros / 1000),
    dataContentType: event.dataContentType || defaultContentType,
    priority: lane,
    attributes: Object.fromEntries(attributes),
  })
}

export function withReaders(event: PlainEvent): HandledEvent {
  const { buffer, byteOffset, byteLength } = event.data
  const text = () => Buffer.from(buffer, byteOffset, byteLength).toString()
  return { ...event, text, json: () => JSON.parse(text()) }
}

/** The event with bytes of its own: a copy for a thread must not copy the batch. */
export function toPlainEvent({ json: _, text: __, data, ...fields }: HandledEvent): PlainEvent {
  return { ...fields, data: Uint8Array.from(data) }
}
