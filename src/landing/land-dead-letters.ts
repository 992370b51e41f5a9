// The group that lands dead letters in their table.
//
// It never gives up a letter: one that the database rejects goes into the group's own stream and is retried until it
// lands, while those behind it go on. A letter whose own entry is damaged is stored with its bytes.

import { cutBatch } from '../event/cut-batch.ts'
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
      cutBatch(batch, 1).map((own, index) => ({
        ...{ delivery, batch: own, offset: delivery.position.offset + index },
        letter: readDeadLetterEvent(decodeBatch(own.bytes)[0]!),
      })),
    )
    const refused = await store.landDeadLetters(letters.map(({ letter }) => letter))
    const refusedOf = Map.groupBy(
      refused.map(({ index }) => letters[index]!),
      ({ delivery }) => delivery,
    )
    // A stored letter is not redelivered with a refused one: if an operator deletes it meanwhile, it would come back.
    const outcomes = opened.map(({ delivery, batch }): Outcome => {
      const { attempt, position } = delivery
      const own = refusedOf.get(delivery) ?? []
      if (own.length === 0) return { delivery, landed: delivery.batch.count, dead: 0 }
      const retry = { attempt, dueAtMs: dueAtMs(attempt) }
      const pieces = own.length === batch.count ? [{ batch, offset: position.offset }] : own
      const again = pieces.map(({ batch, offset }) => ({ batch, offset, ...retry }))
      return { delivery, landed: delivery.batch.count - own.length, dead: 0, again }
    })
    const [first] = refused
    if (first !== undefined) {
      const { letter } = letters[first.index]!
      const more = refused.length === 1 ? '' : ` and ${refused.length - 1} more`
      reportRetry({
        reason: `the database refuses dead letter ${letter.deadLetterId}${more}: ${first.databaseCode}: ${first.message}`,
        dueAtMs: Math.max(...outcomes.flatMap(({ again = [] }) => again.map((each) => each.dueAtMs))),
        isNew: [...refusedOf.keys()].some(({ attempt }) => attempt === 1),
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
