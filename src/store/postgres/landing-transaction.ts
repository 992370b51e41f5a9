// Lands rows in one transaction if some of them already exist or are poison.
//
// New rows go into `events` by COPY. The others go through a staging table: those that exist are skipped and compared
// with the stored row. Each attempt has a savepoint; a rejected one is split in halves until the poison row is alone,
// so k poison rows among N take 2k log2 N further attempts.

import type { ClientBase } from 'pg'
import type { EventPlace, LandedCounts, PoisonEvent } from '../event-store.ts'
import type { CopyEncoder, EncodedRow, EntryColumns } from './copy-encoder.ts'
import { copyToEvents, copyToStaging } from './copy-rows.ts'
import { type FailureKinds, sqlStateOf } from './sqlstate.ts'

interface Comparison {
  readonly place: number
  readonly isSameSource: boolean
}

/** The SQL texts for the staging table. */
export interface StagingStatements {
  readonly create: string
  readonly insert: string
  readonly compare: string
}

/** A method to land rows: COPY into `events`, or the staging table. */
interface LandingMethod {
  land(rows: readonly EncodedRow[]): Promise<void>
  /**
   * Called with the rows if a key among them is taken (23505). Without it, `land` handles taken keys itself; a 23505
   * then comes from a unique index that the owner has added, and rejects the row like any other constraint.
   */
  landTaken?(rows: readonly EncodedRow[]): Promise<void>
}

export interface LandingParts {
  readonly client: ClientBase
  /** Holds the rows. */
  readonly encoder: CopyEncoder
  /** One element per entry of the call. */
  readonly columns: readonly EntryColumns[]
  readonly staging: StagingStatements
  readonly failures: FailureKinds
}

export class LandingTransaction {
  readonly #parts: LandingParts
  readonly #poison: PoisonEvent[] = []
  #landed = 0
  #duplicates = 0
  readonly #conflicts: EventPlace[] = []
  #hasStaging = false
  #hasStaged = false

  constructor(parts: LandingParts) {
    this.#parts = parts
  }

  /**
   * Lands all rows or none. Rejects with the driver's error.
   * @param fresh rows that are not known to exist, each key once.
   * @param known rows that exist, or whose key is repeated.
   * @param options `isRefused`: the server has already rejected the fresh rows as a whole.
   */
  async land(
    fresh: readonly EncodedRow[],
    known: readonly EncodedRow[],
    { isRefused }: { readonly isRefused: boolean },
  ): Promise<LandedCounts> {
    const copying: LandingMethod = { land: (rows) => this.#copy(rows), landTaken: (rows) => this.#stage(rows) }
    const { client } = this.#parts
    await client.query('BEGIN')
    try {
      if (isRefused && fresh.length > 1) await this.#halve(fresh, copying)
      else await this.#attempt(fresh, copying)
      await this.#stage(known)
      await client.query('COMMIT')
    } catch (thrown) {
      await client.query('ROLLBACK').catch(() => {})
      throw thrown
    }
    return { landed: this.#landed, duplicates: this.#duplicates, conflicts: this.#conflicts, poison: this.#poison }
  }

  /** Lands these rows; if they are rejected, lands halves of them until each rejected row is alone. */
  async #attempt(rows: readonly EncodedRow[], method: LandingMethod): Promise<void> {
    if (rows.length === 0) return
    const { client, failures } = this.#parts
    await client.query('SAVEPOINT millrace')
    try {
      await method.land(rows)
      await client.query('RELEASE SAVEPOINT millrace')
    } catch (thrown) {
      const kind = failures.kindOf(thrown)
      if (kind !== 'row' && kind !== 'taken') throw thrown
      await client.query('ROLLBACK TO SAVEPOINT millrace; RELEASE SAVEPOINT millrace')
      if (kind === 'taken' && method.landTaken !== undefined) await method.landTaken(rows)
      else if (rows.length > 1) await this.#halve(rows, method)
      else this.#addPoison(rows[0]!, sqlStateOf(thrown)!, (thrown as Error).message)
    }
  }

  async #halve(rows: readonly EncodedRow[], method: LandingMethod): Promise<void> {
    const middle = rows.length >>> 1
    await this.#attempt(rows.slice(0, middle), method)
    await this.#attempt(rows.slice(middle), method)
  }

  async #copy(rows: readonly EncodedRow[]): Promise<void> {
    const { client, encoder } = this.#parts
    await copyToEvents(client, rows, encoder.bytes)
    this.#landed += rows.length
  }

  /** Inserts the rows that do not exist yet. A row whose key belongs to another source's event gets its second key. */
  async #stage(rows: readonly EncodedRow[], isSecondKey = false): Promise<void> {
    if (rows.length === 0) return
    const { client, encoder, columns, staging } = this.#parts
    if (!this.#hasStaging) await client.query(staging.create)
    this.#hasStaging = true
    const others: EncodedRow[] = []
    await this.#attempt(rows, {
      land: async (part) => {
        others.push(...(await this.#insertStaged(part)))
      },
    })
    const first = encoder.rows.length
    for (const row of others) {
      const { entry, index } = row
      if (isSecondKey || !encoder.addUnderSecondKey(entry, index, columns[entry]!)) {
        // Only with a deliberately chosen id: another source uses this event's UUIDv5 as its id. The event must not
        // count as a duplicate, because it has no row.
        this.#addPoison(row, '23505', 'the row keys of the event belong to events of other sources')
      }
    }
    await this.#stage(encoder.rows.slice(first), true)
  }

  /** Returns the rows whose key belongs to another source's event. */
  async #insertStaged(rows: readonly EncodedRow[]): Promise<EncodedRow[]> {
    const { client, encoder, staging } = this.#parts
    if (this.#hasStaged) await client.query('TRUNCATE pg_temp.millrace_staging')
    this.#hasStaged = true
    await copyToStaging(client, rows, encoder.bytes)
    const landed = (await client.query(staging.insert)).rowCount ?? 0
    const differing = landed === rows.length ? [] : (await client.query<Comparison>(staging.compare)).rows
    const others = differing.filter(({ isSameSource }) => !isSameSource)
    const conflicts = differing.filter(({ isSameSource }) => isSameSource)
    this.#landed += landed
    this.#duplicates += rows.length - landed - others.length
    for (const { place } of conflicts) this.#conflicts.push(placeOf(rows[place]!))
    return others.map(({ place }) => rows[place]!)
  }

  #addPoison({ entry, index }: EncodedRow, databaseCode: string, message: string): void {
    this.#poison.push({ entry, index, databaseCode, message })
  }
}

function placeOf({ entry, index }: EncodedRow): EventPlace {
  return { entry, index }
}
