// Finds landed events by their keys.

import type { Pool } from 'pg'
import type { Lane } from '../../event/event.ts'
import { type FoundRow, type LandedEvent, type LandedStreams, maxPageBytes } from '../event-store.ts'
import { dataFailureOf, type EventReader, type EventRow, toStoredEvent } from './read-events.ts'
import { readSql } from './sql-file.ts'

/** 16 MiB at the end of the table. */
const recentPages = 2048

interface LandedRow {
  readonly topic: string
  readonly partition: number
  readonly lane: Lane
  readonly epoch: number
  readonly nextOffset: string
}

export class EventFinder {
  readonly #listLandedStreams = readSql('list-landed-streams')
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
      return await this.#reader.read(this.#pool, [eventId], maxPageBytes, null)
    } catch (thrown) {
      const failure = dataFailureOf(thrown)
      if (failure === null) throw thrown
      return await this.#reader.read(this.#pool, [eventId], maxPageBytes, failure)
    }
  }

  /** Rejects with the driver's error. */
  async findRows(eventIds: readonly string[]): Promise<FoundRow[]> {
    return (await this.#pool.query<FoundRow>(this.#findRows, [eventIds])).rows
  }

  /** Rejects with the driver's error. */
  async landedStreams(): Promise<LandedStreams> {
    const { rows } = await this.#pool.query<LandedRow>(this.#listLandedStreams, [recentPages])
    const streams = rows.map(({ epoch, nextOffset, ...stream }) => ({ stream, epoch, nextOffset: Number(nextOffset) }))
    return { isComplete: false, streams }
  }
}
