// Looks landed events up by their keys.

import type { Pool } from 'pg'
import type { Lane } from '../../event.ts'
import type { LandedEvent } from '../event-store.ts'
import { type EventRow, toStoredEvent } from './list-events.ts'
import { readSql } from './sql-file.ts'

interface FoundRow extends EventRow {
  readonly logOffset: string
  readonly streamTopic: string
  readonly partition: number
  readonly lane: Lane
  readonly epoch: number
}

export class EventFinder {
  readonly #statement = readSql('find-events')
  readonly #pool: Pool

  constructor(pool: Pool) {
    this.#pool = pool
  }

  /** Rejects with the driver's error. */
  async find(eventIds: readonly string[]): Promise<LandedEvent[]> {
    const { rows } = await this.#pool.query<FoundRow>(this.#statement, [eventIds])
    return rows.map((row) => {
      const { streamTopic: topic, partition, lane, epoch, logOffset } = row
      return {
        event: toStoredEvent(row),
        position: { stream: { topic, partition, lane }, epoch, offset: Number(logOffset) },
      }
    })
  }
}
