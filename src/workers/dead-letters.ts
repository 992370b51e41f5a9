// Appends dead letters, events that can never land with the reason, to their own stream of the log.
//
// A dead letter is appended before the event's own entry is settled, and bypasses admission. A crash between the two
// makes a second copy with the same id, which still lands as one dead letter.
// Not its job: what a dead letter looks like (dead-letter-event.ts), its table (landing/).

import { encodeBatch } from '../event/record-batch.ts'
import type { EventLog } from '../event-log/event-log.ts'
import { type GivenUp, toDeadLetterEvent } from './dead-letter-event.ts'

/** Cannot collide with a declared topic: their names begin with a letter or a digit. */
export const deadLetterTopic = '_dead'

/** The group that lands dead letters in their table. */
export const deadLetterGroup = 'dead'

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
  async append(topic: string, group: string, givenUp: readonly GivenUp[]): Promise<void> {
    const { eventLog, now } = this.#options
    const timeMicros = now() * 1000
    const batches = givenUp.map((dead) => ({
      bytes: encodeBatch([toDeadLetterEvent(topic, group, dead, timeMicros)]),
      count: 1,
      receivedAtMicros: timeMicros,
    }))
    await eventLog.append({ topic: deadLetterTopic, partition: 0, lane: 'normal' }, batches)
  }
}
