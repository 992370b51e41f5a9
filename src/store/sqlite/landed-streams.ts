// The streams whose events land here: the number of each, and how far it has landed.

import type { DatabaseSync, StatementSync } from 'node:sqlite'
import type { LandingStream } from './landing-message.ts'
import { readSql } from './sql-file.ts'

export class LandedStreams {
  readonly #find: StatementSync
  readonly #add: StatementSync
  readonly #advance: StatementSync
  readonly #numbers = new Map<string, number>()

  constructor(database: DatabaseSync) {
    this.#find = database.prepare(readSql('find-stream'))
    this.#add = database.prepare(readSql('add-stream'))
    this.#advance = database.prepare(readSql('advance-stream'))
  }

  /** The number of the stream in the `events` table; a new stream gets one in the open transaction. */
  numberOf({ topic, partition, lane, epoch }: LandingStream): number {
    const name = `${topic}/${partition}/${lane}/${epoch}`
    let number = this.#numbers.get(name)
    if (number === undefined) {
      this.#add.run(topic, partition, lane, epoch)
      number = this.#find.get(topic, partition, lane, epoch)!.stream as number
      this.#numbers.set(name, number)
    }
    return number
  }

  /** Stores the offset after the last landed event of a stream. */
  advance(stream: number, nextOffset: number): void {
    this.#advance.run(stream, nextOffset)
  }

  /** Call it after a rollback: the numbers assigned in that transaction are not valid. */
  forget(): void {
    this.#numbers.clear()
  }
}
