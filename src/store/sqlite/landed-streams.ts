// The streams whose events land here: their numbers, and how far each has come.

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

  /** The number that stands for the stream in the `events` table; a new stream gets one in the open transaction. */
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

  /** Remembers the offset behind the last event of a stream that a landing brought. */
  advance(stream: number, nextOffset: number): void {
    this.#advance.run(stream, nextOffset)
  }

  /** To be called when the open transaction was rolled back: the numbers given in it are nobody's. */
  forget(): void {
    this.#numbers.clear()
  }
}
