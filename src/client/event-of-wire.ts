// An event as a server sends it.

import type { Event } from '../event/event.ts'
import { laneOfPriority } from '../event/record-batch.ts'
import type { Event as EventOnWire } from '../gen/millrace/v1/event_pb.ts'
import { microsOf } from '../lib/timestamp.ts'
import { type HandledEvent, toHandledEvent } from '../workers/handled-event.ts'

export function eventOfWire(event: EventOnWire): Event {
  const { time, priority, attributes } = event
  return {
    ...event,
    lane: laneOfPriority(priority),
    attributes: new Map(Object.entries(attributes)),
    timeMicros: time === undefined ? null : microsOf(time),
  }
}

/** In microseconds since 1970. */
export function receiptOf({ receivedAt }: EventOnWire): number {
  return receivedAt === undefined ? 0 : Number(microsOf(receivedAt))
}

export function handledEventOf(event: EventOnWire): HandledEvent {
  return toHandledEvent(eventOfWire(event), receiptOf(event))
}
