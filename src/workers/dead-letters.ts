// The dead letters: events that will never land, each with the reason, in a log stream of their own.
//
// A dead letter is an event like any other, so it travels and is stored like one. Its data are the bytes of the event that
// died, its attributes tell why. It is appended before the event's own entry is settled, past admission: a crash between
// the two makes a second copy under the same id, which is one dead letter.

import { defaultSource, uuidFromBytes, uuidOfParts } from '../event.ts'
import type { Delivery, EventLog } from '../event-log/event-log.ts'
import { type EventParts, EventReader, encodeBatch, textOf } from '../record-batch.ts'

/** No declared topic can be called so: their names begin with a letter or a digit. */
export const deadLetterTopic = '_dead'

/** The group that lands dead letters in their table. */
export const deadLetterGroup = 'dead'

/** The event type of a dead letter in its stream. */
export const deadLetterType = 'millrace.dead_letter'

export interface DeadLetter {
  readonly delivery: Delivery
  /** Which event of the delivery's batch; null when the batch as a whole is damaged. */
  readonly index: number | null
  readonly code: 'refused_by_store' | 'corrupt'
  readonly message: string
}

export interface DeadLettersOptions {
  readonly eventLog: EventLog
  /** The wall clock, in milliseconds since 1970. */
  readonly now: () => number
}

export class DeadLetters {
  readonly #options: DeadLettersOptions

  constructor(options: DeadLettersOptions) {
    this.#options = options
  }

  /** Resolves once all of them are durable. Errors: those of EventLog.append. */
  async append(topic: string, group: string, letters: readonly DeadLetter[]): Promise<void> {
    const { eventLog, now } = this.#options
    const timeMicros = now() * 1000
    const batches = letters.map((letter) => ({
      bytes: encodeBatch([toEvent(topic, group, letter, timeMicros)]),
      count: 1,
      receivedAtMicros: timeMicros,
    }))
    await eventLog.append({ topic: deadLetterTopic, partition: 0, lane: 'normal' }, batches)
  }
}

/** A reason longer than this is cut: it is an attribute, and those are bounded. */
const maxMessageLength = 300

function toEvent(topic: string, group: string, letter: DeadLetter, timeMicros: number): EventParts {
  const { delivery, index, code, message } = letter
  const { position, batch, attempt } = delivery
  const { stream, epoch } = position
  const place = `${stream.topic}/${stream.partition}/${stream.lane}@${epoch}:${position.offset + (index ?? 0)}`
  const event = index === null ? null : cutEvent(batch.bytes, index)
  // A damaged batch has no events that could be named; it dies once, under the name of its place.
  const identity = event === null ? [place] : [event.source, event.id]
  return {
    id: uuidFromBytes(uuidOfParts(topic, group, ...identity, '0')),
    source: '/millrace/dead-letters',
    type: deadLetterType,
    timeMicros,
    data: event === null ? batch.bytes : event.bytes,
    dataContentType: event === null ? 'application/octet-stream' : 'application/protobuf',
    attributes: [
      ['topic', topic],
      ['group', group],
      ['code', code],
      ['message', message.slice(0, maxMessageLength)],
      ['attempts', String(attempt)],
      ['position', place],
      ['received_at_micros', String(batch.receivedAtMicros)],
    ],
  }
}

/** The encoded event at this place of a batch, with what names it. */
function cutEvent(batchBytes: Uint8Array, index: number): { bytes: Uint8Array; source: string; id: string } {
  const reader = new EventReader().reset(batchBytes)
  for (let place = 0; reader.next(); place++) {
    if (place < index) continue
    const { start, end, sourceStart, sourceEnd, idStart, idEnd } = reader.fields
    return {
      bytes: batchBytes.subarray(start, end),
      source: textOf(batchBytes, sourceStart, sourceEnd) || defaultSource,
      id: textOf(batchBytes, idStart, idEnd),
    }
  }
  throw new Error(`the batch has no event ${index}`)
}
