// An event of the live feed as JSON text, with the members that GET /v1/events gives it when it has landed.

import { defaultContentType, defaultSource, type Event, eventIdTextOf, isJsonContentType } from '../../event/event.ts'
import { decodeOneEvent, readTimestamp, receivedAtField } from '../../event/record-batch.ts'
import { bytesType, FieldWalker } from '../../lib/protobuf-walk.ts'
import { joinMicros } from '../../lib/timestamp.ts'
import type { StoredEvent } from '../../pipeline/stored-event.ts'
import { eventJson } from './event-json.ts'

/** @param bytes a millrace.v1.Event with its time of receipt. */
export function liveEventJson(bytes: Uint8Array, topic: string): string {
  return eventJson(asLanded(decodeOneEvent(bytes), receivedAtOf(bytes), topic))
}

function asLanded(event: Event, receivedAtMicros: number, topic: string): StoredEvent {
  const source = event.source || defaultSource
  const dataContentType = event.dataContentType || defaultContentType
  return {
    ...event,
    eventId: eventIdTextOf(source, event.id),
    source,
    timeMicros: event.timeMicros ?? receivedAtMicros,
    receivedAtMicros,
    topic,
    data: event.data.length === 0 ? null : event.data,
    isJson: isJsonContentType(dataContentType),
    dataOmitted: null,
    dataContentType,
  }
}

/** The last one counts: the server adds it behind what a producer has sent. */
function receivedAtOf(bytes: Uint8Array): number {
  const walker = new FieldWalker().reset(bytes, 0, bytes.length)
  let micros = 0
  while (walker.next()) {
    if (walker.number !== receivedAtField || walker.wireType !== bytesType) continue
    const time = readTimestamp(bytes, walker.valueStart, walker.valueEnd)
    if (time !== null) micros = Number(joinMicros(time.seconds, Math.floor(time.nanos / 1000)))
  }
  return micros
}
