// Finds landed events by their keys.

import type { Pool } from 'pg'
import type { Lane } from '../../event/event.ts'
import type { FoundRow, LandedEvent, LandedStreams } from '../event-store.ts'
import { type EventRow, toStoredEvent } from './list-events.ts'
import { readSql } from './sql-file.ts'

interface PlacedRow extends EventRow {
  readonly logOffset: string
  readonly streamTopic: string
  readonly partition: number
  readonly lane: Lane
  readonly epoch: number
}

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
  readonly #findEvents = readSql('find-events')
  readonly #findRows = readSql('find-rows')
  readonly #pool: Pool

  constructor(pool: Pool) {
    this.#pool = pool
  }

  /** Rejects with the driver's error. */
  async findEvents(eventIds: readonly string[]): Promise<LandedEvent[]> {
    const { rows } = await this.#pool.query<PlacedRow>(this.#findEvents, [eventIds])
    return rows.map((row) => {
      const { streamTopic: topic, partition, lane, epoch, logOffset } = row
      return {
        event: toStoredEvent(row),
        position: { stream: { topic, partition, lane }, epoch, offset: Number(logOffset) },
      }
    })
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
