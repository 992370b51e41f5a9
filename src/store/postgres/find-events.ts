// Finds landed events by their keys.

import type { Pool } from 'pg'
import type { FoundRow, LandedEvent } from '../event-store.ts'
import { dataFailureOf, type EventReader, type EventRow, toStoredEvent } from './read-events.ts'
import { readSql } from './sql-file.ts'

export class EventFinder {
  readonly #findRows = readSql('find-rows')
  readonly #pool: Pool
  readonly #reader: EventReader

  constructor(pool: Pool, reader: EventReader) {
    this.#pool = pool
    this.#reader = reader
  }

  /** Rejects with the driver's error. */
  async findEvents(eventIds: readonly string[]): Promise<LandedEvent[]> {
    const rows: EventRow[] = []
    for (const eventId of eventIds) rows.push(...(await this.#read(eventId)))
    return rows.flatMap((row) => {
      const { streamTopic: topic, partition, lane, epoch, logOffset } = row
      if (topic === null || partition === null || lane === null || epoch === null) return []
      const position = { stream: { topic, partition, lane }, epoch, offset: Number(logOffset) }
      return [{ event: toStoredEvent(row), position }]
    })
  }

  async #read(eventId: string): Promise<EventRow[]> {
    try {
      return await this.#reader.read(this.#pool, [eventId], null)
    } catch (thrown) {
      const failure = dataFailureOf(thrown)
      if (failure === null) throw thrown
      return await this.#reader.read(this.#pool, [eventId], failure)
    }
  }

  /** Rejects with the driver's error. */
  async findRows(eventIds: readonly string[]): Promise<FoundRow[]> {
    return (await this.#pool.query<FoundRow>(this.#findRows, [eventIds])).rows
  }
}
