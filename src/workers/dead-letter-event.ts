// The encoding of a dead letter in the log: an event like any other. Its data is the encoded event that died, its
// attributes hold the reason.

import type { ErrorCode } from '../errors.ts'
import { defaultSource, type Event, eventIdOf, uuidFromBytes, uuidOfParts } from '../event/event.ts'
import { withReceivedAt } from '../event/event-edit.ts'
import {
  decodeOneEvent,
  type EventFields,
  type EventParts,
  EventReader,
  readAttribute,
  textOf,
} from '../event/record-batch.ts'
import type { Delivery } from '../event-log/event-log.ts'
import { formatPosition } from '../event-log/position-text.ts'
import { type DeadLetter, damagedCode } from '../store/dead-letter.ts'

/** The event type of a dead letter in its stream. */
export const deadLetterType = 'millrace.dead_letter'

/**
 * The attribute that counts an event's redrives. It gives the event's next dead letter another id than the last one's.
 */
export const redriveAttribute = 'millraceredrive'

/** The counter stops here. */
export const maxRedrives = 999_999_999

/** An event that its group gives up, or a whole damaged batch. */
export interface GivenUp {
  readonly delivery: Delivery
  /** The event's index in the delivery's batch; null when the whole batch is damaged. */
  readonly index: number | null
  readonly code: ErrorCode
  readonly message: string
}

/** A longer reason is cut: attributes have a maximum length. */
const maxMessageLength = 300

const eventContentType = 'application/protobuf'

export function toDeadLetterEvent(topic: string, group: string, givenUp: GivenUp, timeMicros: number): EventParts {
  const { delivery, index, code, message } = givenUp
  const { position, batch, attempt } = delivery
  const place = formatPosition({ ...position, offset: position.offset + (index ?? 0) })
  const event = index === null ? null : cutEvent(batch.bytes, index)
  // The events of a damaged batch cannot be identified: the batch becomes one dead letter, identified by its position.
  const identity = event === null ? [place] : [event.source, event.id]
  const redrives = event?.redrives ?? 0
  return {
    id: uuidFromBytes(uuidOfParts(topic, group, ...identity, String(redrives))),
    source: '/millrace/dead-letters',
    type: deadLetterType,
    timeMicros,
    data: event === null ? batch.bytes : event.bytes,
    dataContentType: event === null ? 'application/octet-stream' : eventContentType,
    attributes: [
      ['topic', topic],
      ['group', group],
      ['code', code],
      ['message', message.slice(0, maxMessageLength)],
      ['attempts', String(attempt)],
      ['position', place],
      ['received_at_micros', String(batch.receivedAtMicros)],
      ['redrives', String(redrives)],
    ],
  }
}

/** Decodes the result of `toDeadLetterEvent`. */
export function readDeadLetterEvent({ id, timeMicros, data, dataContentType, attributes }: Event): DeadLetter {
  const text = (name: string) => attributes.get(name) ?? ''
  const deadAtMicros = Number(timeMicros ?? 0)
  const attempts = Number(text('attempts'))
  const code = text('code')
  const message = text('message')
  const died = { attempt: attempts, atMicros: deadAtMicros, code, message, position: text('position') }
  const letter = {
    deadLetterId: id,
    topic: text('topic'),
    group: text('group'),
    code,
    message,
    attempts,
    firstFailedAtMicros: deadAtMicros,
    deadAtMicros,
    history: [died],
    redrivenAtMicros: null,
    redrives: Number(text('redrives')),
  }
  if (code === damagedCode || dataContentType !== eventContentType) {
    return { ...letter, eventId: null, type: '', source: '', event: data }
  }
  const { source: namedSource, type, id: deadId } = decodeOneEvent(data)
  const source = namedSource || defaultSource
  const event = withReceivedAt(data, Number(text('received_at_micros')))
  return { ...letter, eventId: uuidFromBytes(eventIdOf(source, deadId)), type, source, event }
}

export interface CutEvent {
  readonly bytes: Uint8Array
  readonly source: string
  readonly id: string
  readonly redrives: number
}

/** The encoded event at this index of a batch, with its source, id and number of redrives. */
export function cutEvent(batchBytes: Uint8Array, index: number): CutEvent {
  const reader = new EventReader().reset(batchBytes)
  for (let current = 0; reader.next(); current++) {
    if (current < index) continue
    const { fields } = reader
    const { start, end, sourceStart, sourceEnd, idStart, idEnd } = fields
    return {
      bytes: batchBytes.subarray(start, end),
      source: textOf(batchBytes, sourceStart, sourceEnd) || defaultSource,
      id: textOf(batchBytes, idStart, idEnd),
      redrives: redrivesOf(batchBytes, fields),
    }
  }
  throw new Error(`the batch has no event ${index}`)
}

/** The event's number of redrives, from its attribute; 0 without one. */
function redrivesOf(bytes: Uint8Array, { attributes, attributeCount }: EventFields): number {
  for (let index = 0; index < attributeCount; index++) {
    const { name, value } = readAttribute(bytes, attributes[index * 2]!, attributes[index * 2 + 1]!)
    if (name === redriveAttribute && /^\d{1,9}$/.test(value)) return Number(value)
  }
  return 0
}
