// Reads figures about the tables for monitoring. It runs in the thread that lands, so its cost is bounded: some
// milliseconds, whatever the size of the tables.

import { statSync } from 'node:fs'
import type { DatabaseSync, StatementSync } from 'node:sqlite'
import {
  maxCountedDeadLetters,
  maxRecentEvents,
  maxRecentTypes,
  type StoreObservation,
} from '../../pipeline/observations.ts'
import { readSql } from './sql-file.ts'

export class StoreObserver {
  readonly #path: string
  readonly #countDeadLetters: StatementSync
  readonly #recentTypes: StatementSync

  constructor(database: DatabaseSync, path: string) {
    this.#path = path
    this.#countDeadLetters = database.prepare(readSql('count-newest-dead-letters'))
    this.#recentTypes = database.prepare(readSql('recent-types'))
  }

  observe(): StoreObservation {
    const { open, redriven } = this.#countDeadLetters.get(maxCountedDeadLetters + 1) as Record<string, number>
    const rows = this.#recentTypes.all(maxRecentEvents, maxRecentTypes) as {
      type: string
      events: number
      examined: number
    }[]
    return {
      eventsBytes: fileBytes(this.#path) + fileBytes(`${this.#path}-wal`),
      deadLetters: { open: open!, redriven: redriven!, more: open! + redriven! > maxCountedDeadLetters },
      recent: { events: rows[0]?.examined ?? 0, types: rows.map(({ type, events }) => ({ type, events })) },
      statements: null,
    }
  }
}

function fileBytes(path: string): number {
  return statSync(path, { throwIfNoEntry: false })?.size ?? 0
}
