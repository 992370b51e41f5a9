// Finds landed events by their keys.

import type { DatabaseSync, StatementSync } from 'node:sqlite'
import type { Lane } from '../../event/event.ts'
import { maxDataBytes } from '../event-store.ts'
import { hexArray } from './hex-array.ts'
import type { ReadRow } from './list-events.ts'
import { readSql } from './sql-file.ts'

/** The key of a row and the source of its event. */
export interface RowName {
  readonly event_id: Uint8Array
  readonly source: string
}

/** A row of `events` with its position in the log. */
export interface PlacedRow extends ReadRow {
  readonly log_offset: number
  readonly stream_topic: string
  readonly partition: number
  readonly lane: Lane
  readonly epoch: number
}

/** How far a stream has landed. */
export interface LandedRow {
  readonly topic: string
  readonly partition: number
  readonly lane: Lane
  readonly epoch: number
  readonly next_offset: number
}

export class EventFinder {
  readonly #listLandedStreams: StatementSync
  readonly #findEvents: StatementSync
  readonly #findRows: StatementSync

  constructor(database: DatabaseSync) {
    this.#listLandedStreams = database.prepare(readSql('list-landed-streams'))
    this.#findEvents = database.prepare(readSql('find-events'))
    this.#findRows = database.prepare(readSql('find-rows'))
  }

  findEvents(eventIds: readonly string[]): PlacedRow[] {
    return this.#findEvents.all(hexArray(eventIds), maxDataBytes) as unknown as PlacedRow[]
  }

  landedStreams(): LandedRow[] {
    return this.#listLandedStreams.all() as unknown as LandedRow[]
  }

  findRows(eventIds: readonly string[]): RowName[] {
    return this.#findRows.all(hexArray(eventIds)) as unknown as RowName[]
  }
}
