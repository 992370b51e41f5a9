// The group that lands dead letters in their table.
//
// It never gives up a letter: what the database refuses is retried until it succeeds, and a letter whose own entry is
// damaged is stored with its bytes.

import { uuidFromBytes, uuidOfParts } from '../event/event.ts'
import { decodeBatch } from '../event/record-batch.ts'
import type { Delivery } from '../event-log/event-log.ts'
import { formatPosition } from '../event-log/position-text.ts'
import { type DeadLetter, damagedCode } from '../store/dead-letter.ts'
import type { EventStore } from '../store/event-store.ts'
import { readDeadLetterEvent } from '../workers/dead-letter-event.ts'
import type { Handler } from '../workers/handler.ts'

/** Creates the handler that lands dead letters. It throws when the database is unreachable. */
export function createDeadLetterLanding(store: EventStore): Handler {
  return async (deliveries, { topic, group }) => {
    const letters = deliveries.flatMap((delivery) =>
      delivery.batch.damaged === true
        ? [damagedLetter(delivery, topic, group)]
        : decodeBatch(delivery.batch.bytes).map(readDeadLetterEvent),
    )
    await store.landDeadLetters(letters)
    return deliveries.map((delivery) => ({ delivery, landed: delivery.batch.count, dead: 0 }))
  }
}

/** The row of a dead letter whose own entry in the log is damaged. */
function damagedLetter({ position, batch, attempt }: Delivery, topic: string, group: string): DeadLetter {
  const place = formatPosition(position)
  const atMicros = batch.receivedAtMicros
  const message = 'the entry of a dead letter does not match its checksum'
  return {
    deadLetterId: uuidFromBytes(uuidOfParts(topic, group, place, '0')),
    eventId: null,
    topic,
    group,
    type: '',
    source: '',
    code: damagedCode,
    message,
    attempts: attempt,
    firstFailedAtMicros: atMicros,
    deadAtMicros: atMicros,
    event: batch.bytes,
    history: [{ attempt, atMicros, code: damagedCode, message, position: place }],
    redrivenAtMicros: null,
    redrives: 0,
  }
}
