// Looks landed events up by their keys.

import type { DatabaseSync, StatementSync } from 'node:sqlite'
import type { Lane } from '../../event.ts'
import { hexArray } from './hex-array.ts'
import type { ReadRow } from './list-events.ts'
import { readSql } from './sql-file.ts'

/** A row of `events` with its place in the log. */
export interface FoundRow extends ReadRow {
  readonly log_offset: number
  readonly stream_topic: string
  readonly partition: number
  readonly lane: Lane
  readonly epoch: number
}

export class EventFinder {
  readonly #statement: StatementSync

  constructor(database: DatabaseSync) {
    this.#statement = database.prepare(readSql('find-events'))
  }

  find(eventIds: readonly string[]): FoundRow[] {
    return this.#statement.all(hexArray(eventIds)) as unknown as FoundRow[]
  }
}
