// One event as a program passes it to be published, and what is added to it.

import { MillraceError } from '../errors.ts'
import { EventIdGenerator, limits } from './event.ts'
import type { EventParts } from './record-batch.ts'

/**
 * One event to publish. Only `type` is required; fields and limits are those of CloudEvents 1.0 and
 * proto/millrace/v1/event.proto.
 */
export interface EventInput extends Omit<EventParts, 'data'> {
  /** Bytes are sent unchanged, any other value as JSON text; without it the event has no data. */
  readonly data?: unknown
}

/** Gives an id and a time to events that have none. */
export class EventStamper {
  readonly #ids: EventIdGenerator
  readonly #now: () => number
  /** Reused for all events to save allocations: a producer may make hundreds of thousands per second. */
  readonly #parts: { -readonly [Field in keyof EventParts]: EventParts[Field] } = { type: '' }

  /** @param now the clock, in milliseconds since 1970. */
  constructor(now: () => number) {
    this.#now = now
    this.#ids = new EventIdGenerator(now)
  }

  /**
   * The event as it will be encoded, with a UUIDv7 and the current time where it has none. Valid until the next call.
   * Errors: `event_too_large`, `invalid_event` (data without a JSON form).
   */
  stamp(event: EventInput): EventParts {
    const parts = this.#parts
    parts.id = event.id === undefined || event.id === '' ? this.#ids.next() : event.id
    parts.source = event.source
    parts.type = event.type
    parts.subject = event.subject
    parts.timeMicros = event.timeMicros ?? this.#now() * 1000
    parts.data = event.data instanceof Uint8Array || event.data === undefined ? event.data : jsonBytes(event.data)
    parts.dataContentType = event.dataContentType
    parts.lane = event.lane
    parts.key = event.key
    parts.attributes = event.attributes
    refuseTooLarge(parts)
    return parts
  }
}

function jsonBytes(value: unknown): Uint8Array {
  let text: string | undefined
  try {
    text = JSON.stringify(value)
  } catch (cause) {
    throw new MillraceError('invalid_event', `data has no JSON form: ${(cause as Error).message}`, {
      field: 'data',
      cause,
    })
  }
  if (text === undefined) {
    throw new MillraceError('invalid_event', `data is a ${typeof value}, which has no JSON form`, { field: 'data' })
  }
  return Buffer.from(text)
}

/**
 * The server validates events. But one that is too large for any message would end the whole stream, so it is refused
 * here.
 */
function refuseTooLarge(event: EventParts): void {
  let size = (event.data?.length ?? 0) + event.type.length + (event.id?.length ?? 0) + (event.source?.length ?? 0)
  size += (event.subject?.length ?? 0) + (event.key?.length ?? 0) + (event.dataContentType?.length ?? 0)
  if (event.attributes !== undefined) for (const [name, value] of event.attributes) size += name.length + value.length
  if (size <= limits.maxEventBytes) return
  throw new MillraceError('event_too_large', `the event has ${size} bytes; the limit is ${limits.maxEventBytes}`, {
    field: (event.data?.length ?? 0) > limits.maxEventBytes ? 'data' : 'event',
  })
}
