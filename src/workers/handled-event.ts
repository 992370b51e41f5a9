// An event as a handler sees it.

import { defaultContentType, defaultSource, type Event, eventIdOf, type Lane, uuidFromBytes } from '../event/event.ts'

export interface HandledEvent {
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
  /** The data as JSON. Throws a SyntaxError when it is not JSON. */
  json(): unknown
  /** The data as text. */
  text(): string
  readonly dataContentType: string
  readonly priority: Lane
  readonly key: string
  readonly attributes: Readonly<Record<string, string>>
}

export function toHandledEvent(event: Event, receivedAtMicros: number): HandledEvent {
  const { id, type, subject, data, lane, key, attributes } = event
  const source = event.source || defaultSource
  const text = () => Buffer.from(data.buffer, data.byteOffset, data.byteLength).toString()
  return {
    eventId: uuidFromBytes(eventIdOf(source, id)),
    ...{ id, source, type, subject, data, key, text },
    time: new Date(Number(event.timeMicros ?? receivedAtMicros) / 1000),
    receivedAt: new Date(receivedAtMicros / 1000),
    json: () => JSON.parse(text()),
    dataContentType: event.dataContentType || defaultContentType,
    priority: lane,
    attributes: Object.fromEntries(attributes),
  }
}
