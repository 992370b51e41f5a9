// A store whose table has no primary key: a redelivered event makes a second row.

import { join } from 'node:path'
import { DatabaseSync, type StatementSync } from 'node:sqlite'
import { MillraceError } from '../../../src/errors.ts'
import { eventIdOf } from '../../../src/event/event.ts'
import { decodeBatch } from '../../../src/event/record-batch.ts'
import type { EventStore, LandedCounts, LandingEntry, StoreDescription } from '../../../src/store/event-store.ts'

export class StoreWithoutKey implements EventStore {
  readonly failed = new Promise<never>(() => {})
  readonly #database: DatabaseSync
  readonly #insert: StatementSync

  constructor(dataDir: string) {
    this.#database = new DatabaseSync(join(dataDir, 'store.db'))
    // The server without a defect that filled the log created its own table, with the key.
    const [key] = this.#database.prepare(`SELECT name FROM pragma_table_info('events') WHERE pk = 1`).all()
    if (key !== undefined) this.#database.exec('DROP TABLE events')
    this.#database.exec(`PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; CREATE TABLE IF NOT EXISTS events
      (event_id BLOB, id TEXT, source TEXT, topic TEXT, stream INTEGER, log_offset INTEGER)`)
    this.#insert = this.#database.prepare('INSERT INTO events VALUES (?, ?, ?, ?, ?, ?)')
  }

  async landEvents(entries: readonly LandingEntry[]): Promise<LandedCounts> {
    let landed = 0
    this.#database.exec('BEGIN')
    for (const { position, batch } of entries) {
      for (const [index, { source, id }] of decodeBatch(batch.bytes).entries()) {
        this.#insert.run(eventIdOf(source, id), id, source, position.stream.topic, 1, position.offset + index)
        landed++
      }
    }
    this.#database.exec('COMMIT')
    return { landed, duplicates: 0, conflicts: [], poison: [] }
  }

  readonly listEvents = onlyTakes
  readonly findEvents = onlyTakes
  readonly findRows = onlyTakes
  readonly landedStreams = async () => ({ isComplete: false, streams: [] })
  readonly listDeadLetters = onlyTakes
  readonly readDeadLetters = onlyTakes
  readonly countDeadLetters = onlyTakes
  readonly groupDeadLetters = onlyTakes
  readonly noteRedriven = onlyTakes
  readonly deleteDeadLetters = onlyTakes
  readonly upsertAgents = onlyTakes
  readonly listAgents = onlyTakes
  readonly saveFile = onlyTakes
  readonly file = onlyTakes
  readonly setAnalysis = onlyTakes
  readonly insertApiKey = onlyTakes
  readonly listApiKeys = async () => []
  readonly revokeApiKey = onlyTakes
  readonly noteApiKeysUsed = onlyTakes
  readonly observe = onlyTakes

  /** Drops dead letters; this store does not implement them. */
  async landDeadLetters(): Promise<[]> {
    return []
  }

  async describe(): Promise<StoreDescription> {
    return { driver: 'without key', up: true, problem: null, code: null, warnings: [] }
  }

  async close(): Promise<void> {
    this.#database.close()
  }
}

function onlyTakes(): Promise<never> {
  return Promise.reject(new MillraceError('unimplemented', 'this store only takes'))
}
