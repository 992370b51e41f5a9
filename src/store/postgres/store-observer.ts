// Reads figures about the tables for monitoring.
//
// It reads only the end of a table or an index, or statistics that the server keeps anyway, so the cost does not depend
// on the number of rows. Every method rejects with the driver's error.

import type { Pool, PoolClient } from 'pg'
import {
  type DeadLetterCount,
  type LandingStatements,
  maxCountedDeadLetters,
  maxRecentEvents,
  maxRecentTypes,
  type RecentEvents,
  type StoreObservation,
} from '../../pipeline/observations.ts'
import { readSql } from './sql-file.ts'

/** 2 MiB at the end of the table; a page usually holds 5 to 40 rows. */
const recentPages = 256

export class StoreObserver {
  readonly #pool: Pool
  readonly #begin = readSql('begin-listing')
  readonly #eventsBytes = readSql('events-bytes')
  readonly #countDeadLetters = readSql('count-newest-dead-letters')
  readonly #recentTypes = readSql('recent-types')
  readonly #findStatistics = readSql('find-statistics')
  readonly #landingStatements = readSql('landing-statements')

  constructor(pool: Pool) {
    this.#pool = pool
  }

  async observe(): Promise<StoreObservation> {
    const client = await this.#pool.connect()
    try {
      // The settings of a listing are needed here for the same reasons.
      await client.query(this.#begin)
      const [size] = (await client.query<{ bytes: string }>(this.#eventsBytes)).rows
      const deadLetters = await this.#countLetters(client)
      const recent = await this.#readTypes(client)
      await client.query('COMMIT')
      const statements = await this.#readStatements(client)
      client.release()
      return { eventsBytes: Number(size!.bytes), deadLetters, recent, statements }
    } catch (thrown) {
      client.release(true)
      throw thrown
    }
  }

  async #countLetters(client: PoolClient): Promise<DeadLetterCount> {
    const { rows } = await client.query<{ open: number; redriven: number }>(this.#countDeadLetters, [
      maxCountedDeadLetters + 1,
    ])
    const { open, redriven } = rows[0]!
    return { open, redriven, more: open + redriven > maxCountedDeadLetters }
  }

  async #readTypes(client: PoolClient): Promise<RecentEvents> {
    const parameters = [maxRecentEvents, recentPages, maxRecentTypes]
    const { rows } = await client.query<{ type: string; events: number; examined: number }>(
      this.#recentTypes,
      parameters,
    )
    return { events: rows[0]?.examined ?? 0, types: rows.map(({ type, events }) => ({ type, events })) }
  }

  /** Null if the extension is not installed, not loaded, or not accessible to this role. */
  async #readStatements(client: PoolClient): Promise<LandingStatements | null> {
    try {
      const [found] = (await client.query<{ schema: string }>(this.#findStatistics)).rows
      if (found === undefined) return null
      const statement = this.#landingStatements.replace('{schema}', () => found.schema)
      const [sums] = (await client.query<Record<'calls' | 'rows' | 'seconds', number | null>>(statement)).rows
      const { calls = null, rows, seconds } = sums ?? {}
      return calls === null ? null : { calls, rows: rows ?? 0, meanSeconds: (seconds ?? 0) / calls }
    } catch {
      return null
    }
  }
}
