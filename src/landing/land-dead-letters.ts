// The group that lands dead letters in their table.
//
// It never gives up a letter: one that the database rejects goes into the group's own stream and is retried until it
// lands, while those behind it go on. A letter whose own entry is damaged is stored with its bytes.

import { decodeBatch, encodeBatch, type RecordBatch } from '../event/record-batch.ts'
import type { Delivery, Outcome } from '../event-log/event-log.ts'
import { type BackoffPolicy, backoffMs } from '../lib/backoff.ts'
import { damagedCode } from '../store/dead-letter.ts'
import type { EventStore } from '../store/event-store.ts'
import { readDeadLetterEvent, toDeadLetterEvent } from '../workers/dead-letter-event.ts'
import type { Handler } from '../workers/handler.ts'

/** A rejected letter lands at most this long after an operator has removed the cause. */
const refusalBackoff: BackoffPolicy = { baseMs: 1000, maxMs: 60_000 }

export interface DeadLetterLandingOptions {
  readonly store: EventStore
  /** The wall clock, in milliseconds since 1970. */
  readonly now: () => number
  readonly random: () => number
}

/** Creates the handler that lands dead letters. It throws when the database is unreachable. */
export function createDeadLetterLanding({ store, now, random }: DeadLetterLandingOptions): Handler {
  const dueAtMs = (attempt: number) => now() + backoffMs(attempt, refusalBackoff, random())
  return async (deliveries, { topic, group, reportRetry }) => {
    const opened = deliveries.map((delivery) => ({ delivery, batch: soundBatch(delivery, topic, group) }))
    const letters = opened.flatMap(({ delivery, batch }) =>
      decodeBatch(batch.bytes).map((event) => ({ delivery, letter: readDeadLetterEvent(event) })),
    )
    const refused = await store.landDeadLetters(letters.map(({ letter }) => letter))
    const refusedDeliveries = new Set(refused.map(({ index }) => letters[index]!.delivery))
    const outcomes = opened.map(({ delivery, batch }): Outcome => {
      const { count } = delivery.batch
      if (!refusedDeliveries.has(delivery)) return { delivery, landed: count, dead: 0 }
      const again = { batch, attempt: delivery.attempt, dueAtMs: dueAtMs(delivery.attempt) }
      return { delivery, landed: count - batch.count, dead: 0, again: [again] }
    })
    const [first] = refused
    if (first !== undefined) {
      const { letter } = letters[first.index]!
      const more = refused.length === 1 ? '' : ` and ${refused.length - 1} more`
      reportRetry({
        reason: `the database refuses dead letter ${letter.deadLetterId}${more}: ${first.databaseCode}: ${first.message}`,
        dueAtMs: Math.max(...outcomes.flatMap(({ again = [] }) => again.map((each) => each.dueAtMs))),
        isNew: [...refusedDeliveries].some(({ attempt }) => attempt === 1),
      })
    }
    return outcomes
  }
}

/** The batch of a delivery. If it is damaged, a dead letter with its bytes: a damaged batch cannot be redelivered. */
function soundBatch(delivery: Delivery, topic: string, group: string): RecordBatch {
  if (delivery.batch.damaged !== true) return delivery.batch
  const { receivedAtMicros } = delivery.batch
  const message = 'the entry of a dead letter does not match its checksum'
  const givenUp = { delivery, index: null, code: damagedCode, message } as const
  const letter = toDeadLetterEvent(topic, group, givenUp, receivedAtMicros)
  return { bytes: encodeBatch([letter]), count: 1, receivedAtMicros }
}
