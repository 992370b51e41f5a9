// The event inside a dead letter.

import { defaultContentType, defaultSource, uuidFromBytes, uuidOfSourceAndId } from '../event/event.ts'
import { isJsonData } from '../event/event-data.ts'
import { receivedAtOf } from '../event/event-edit.ts'
import { decodeOneEvent } from '../event/record-batch.ts'
import type { DeadLetterSummary } from '../pipeline/dead-letters.ts'
import type { StoredEvent } from '../pipeline/stored-event.ts'
import { type DeadLetter, damagedCode } from '../store/dead-letter.ts'

/** The event in the form of a landed event; null when its bytes are damaged. */
export function eventOf(letter: DeadLetter): StoredEvent | null {
  const { eventId, topic, deadAtMicros, event: bytes } = letter
  if (isDamaged(letter) || eventId === null) return null
  const { id, source, type, subject, timeMicros, data, dataContentType, lane, key, attributes } = decodeOneEvent(bytes)
  const receivedAtMicros = receivedAtOf(bytes) ?? deadAtMicros
  return {
    eventId,
    id,
    source: source || defaultSource,
    type,
    subject,
    timeMicros: timeMicros ?? receivedAtMicros,
    receivedAtMicros,
    topic,
    lane,
    key,
    // Invalid JSON under a JSON media type may be why the event died.
    data: data.length === 0 ? null : data,
    isJson: isJsonData(data, dataContentType),
    dataOmitted: null,
    dataContentType: dataContentType || defaultContentType,
    attributes,
  }
}

export function isDamaged({ code }: DeadLetterSummary): boolean {
  return code === damagedCode
}

/** The key of the letter's event when another source has used the same UUID; null if its bytes are damaged. */
export function secondRowKeyOf({ eventId, source }: DeadLetterSummary): string | null {
  return eventId === null ? null : uuidFromBytes(uuidOfSourceAndId(source, eventId))
}
