// Lands rows of which some have their row already, or are poison, in one transaction.
//
// Rows that are new go into `events` by COPY. The others go through a staging table, where what has its row is left out
// and compared. Each try stands behind a savepoint; one that is refused is cut in halves until the poison row stands
// alone, so k of them among N take 2k log2 N further tries.

import type { ClientBase } from 'pg'
import type { LandedCounts, PoisonEvent } from '../event-store.ts'
import type { CopyEncoder, EncodedRow, EntryColumns } from './copy-encoder.ts'
import { copyToEvents, copyToStaging } from './copy-rows.ts'
import { type FailureKinds, sqlStateOf } from './sqlstate.ts'

interface Comparison {
  readonly place: number
  readonly isSameSource: boolean
}

/** The texts of `sql/`. */
export interface StagingStatements {
  readonly create: string
  readonly insert: string
  readonly compare: string
}

/** One way to land rows. */
interface Way {
  tryToLand(rows: readonly EncodedRow[]): Promise<void>
  /** Takes the rows of which one has its row already. Left out: the way finds that out itself, and then a key that is taken
   * is one of the owner's own unique indexes, which refuses the row as any other constraint does. */
  landTaken?(rows: readonly EncodedRow[]): Promise<void>
}

export interface LandingParts {
  readonly client: ClientBase
  /** Has the rows. */
  readonly encoder: CopyEncoder
  /** Of each entry of the call. */
  readonly columns: readonly EntryColumns[]
  readonly staging: StagingStatements
  readonly failures: FailureKinds
}

export class LandingTransaction {
  readonly #parts: LandingParts
  readonly #poison: PoisonEvent[] = []
  #landed = 0
  #duplicates = 0
  #conflicts = 0
  #hasStaging = false
  #hasStaged = false

  constructor(parts: LandingParts) {
    this.#parts = parts
  }

  /**
   * Lands all rows or none. Rejects with the driver's error.
   * @param fresh have no row as far as is known, each key once. `isRefused`: together they have been tried in vain.
   */
  async land(
    fresh: readonly EncodedRow[],
    known: readonly EncodedRow[],
    { isRefused }: { readonly isRefused: boolean },
  ): Promise<LandedCounts> {
    const copying: Way = { tryToLand: (rows) => this.#copy(rows), landTaken: (rows) => this.#stage(rows) }
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

  /** Makes the try with these rows, or with halves of them until the ones that are refused stand alone. */
  async #attempt(rows: readonly EncodedRow[], way: Way): Promise<void> {
    if (rows.length === 0) return
    const { client, failures } = this.#parts
    await client.query('SAVEPOINT millrace')
    try {
      await way.tryToLand(rows)
      await client.query('RELEASE SAVEPOINT millrace')
    } catch (thrown) {
      const kind = failures.kindOf(thrown)
      if (kind !== 'row' && kind !== 'taken') throw thrown
      await client.query('ROLLBACK TO SAVEPOINT millrace; RELEASE SAVEPOINT millrace')
      if (kind === 'taken' && way.landTaken !== undefined) await way.landTaken(rows)
      else if (rows.length > 1) await this.#halve(rows, way)
      else this.#addPoison(rows[0]!, sqlStateOf(thrown)!, (thrown as Error).message)
    }
  }

  async #halve(rows: readonly EncodedRow[], way: Way): Promise<void> {
    const middle = rows.length >>> 1
    await this.#attempt(rows.slice(0, middle), way)
    await this.#attempt(rows.slice(middle), way)
  }

  async #copy(rows: readonly EncodedRow[]): Promise<void> {
    const { client, encoder } = this.#parts
    await copyToEvents(client, rows, encoder.bytes)
    this.#landed += rows.length
  }

  /** Lands those of the rows that have none yet. What has another source's row under its key gets its second key. */
  async #stage(rows: readonly EncodedRow[], isSecondKey = false): Promise<void> {
    if (rows.length === 0) return
    const { client, encoder, columns, staging } = this.#parts
    if (!this.#hasStaging) await client.query(staging.create)
    this.#hasStaging = true
    const others: EncodedRow[] = []
    await this.#attempt(rows, {
      tryToLand: async (tried) => {
        others.push(...(await this.#insertStaged(tried)))
      },
    })
    const first = encoder.rows.length
    for (const row of others) {
      const { entry, index } = row
      if (isSecondKey || !encoder.addUnderSecondKey(entry, index, columns[entry]!)) {
        // Only an id made on purpose gets here: another source uses this event's UUIDv5 as its id. It must not count as a
        // duplicate, for it has no row.
        this.#addPoison(row, '23505', 'the keys of the event are taken by other sources')
      }
    }
    await this.#stage(encoder.rows.slice(first), true)
  }

  /** Answers the rows whose key belongs to another source's event. */
  async #insertStaged(rows: readonly EncodedRow[]): Promise<EncodedRow[]> {
    const { client, encoder, staging } = this.#parts
    if (this.#hasStaged) await client.query('TRUNCATE pg_temp.millrace_staging')
    this.#hasStaged = true
    await copyToStaging(client, rows, encoder.bytes)
    const landed = (await client.query(staging.insert)).rowCount ?? 0
    const differing = landed === rows.length ? [] : (await client.query<Comparison>(staging.compare)).rows
    const others = differing.filter(({ isSameSource }) => !isSameSource)
    this.#landed += landed
    this.#duplicates += rows.length - landed - others.length
    this.#conflicts += differing.length - others.length
    return others.map(({ place }) => rows[place]!)
  }

  #addPoison({ entry, index }: EncodedRow, databaseCode: string, message: string): void {
    this.#poison.push({ entry, index, databaseCode, message })
  }
}
