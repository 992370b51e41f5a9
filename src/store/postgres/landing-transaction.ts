// Lands rows of which some have their row already, or are poison, in one transaction.
//
// Rows that are new go into `events` by COPY. The others go through a staging table, where what has its row is left out
// and compared. Each try stands behind a savepoint; one that is refused is cut in halves until the poison row stands
// alone, so k of them among N take 2k log2 N further tries.

import type { ClientBase } from 'pg'
import type { LandedCounts, PoisonEvent } from '../event-store.ts'
import type { CopyEncoder, EncodedRow, EntryColumns } from './copy-encoder.ts'
import { copyToEvents, copyToStaging } from './copy-rows.ts'
import { failureKind, sqlStateOf } from './sqlstate.ts'

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

export class LandingTransaction {
  readonly #client: ClientBase
  readonly #encoder: CopyEncoder
  readonly #shared: readonly EntryColumns[]
  readonly #staging: StagingStatements
  readonly #poison: PoisonEvent[] = []
  #landed = 0
  #duplicates = 0
  #conflicts = 0
  #hasStaging = false
  #hasStaged = false

  /** @param shared the columns of each of the call's entries. */
  constructor(client: ClientBase, encoder: CopyEncoder, shared: readonly EntryColumns[], staging: StagingStatements) {
    this.#client = client
    this.#encoder = encoder
    this.#shared = shared
    this.#staging = staging
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
    await this.#client.query('BEGIN')
    try {
      if (isRefused && fresh.length > 1) await this.#halve(fresh, copying)
      else await this.#attempt(fresh, copying)
      await this.#stage(known)
      await this.#client.query('COMMIT')
    } catch (thrown) {
      await this.#client.query('ROLLBACK').catch(() => {})
      throw thrown
    }
    const poison = this.#poison.concat(this.#encoder.poison).sort((a, b) => a.entry - b.entry || a.index - b.index)
    return { landed: this.#landed, duplicates: this.#duplicates, conflicts: this.#conflicts, poison }
  }

  /** Makes the try with these rows, or with halves of them until the ones that are refused stand alone. */
  async #attempt(rows: readonly EncodedRow[], way: Way): Promise<void> {
    if (rows.length === 0) return
    const client = this.#client
    await client.query('SAVEPOINT millrace')
    try {
      await way.tryToLand(rows)
      await client.query('RELEASE SAVEPOINT millrace')
    } catch (thrown) {
      const kind = failureKind(thrown)
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
    await copyToEvents(this.#client, rows, this.#encoder.bytes)
    this.#landed += rows.length
  }

  /** Lands those of the rows that have none yet. What has another source's row under its key gets its second key. */
  async #stage(rows: readonly EncodedRow[], isSecondKey = false): Promise<void> {
    if (rows.length === 0) return
    if (!this.#hasStaging) await this.#client.query(this.#staging.create)
    this.#hasStaging = true
    const others: EncodedRow[] = []
    await this.#attempt(rows, {
      tryToLand: async (tried) => {
        others.push(...(await this.#insertStaged(tried)))
      },
    })
    const first = this.#encoder.rows.length
    for (const row of others) {
      const { entry, index } = row
      if (isSecondKey || !this.#encoder.addUnderSecondKey(entry, index, this.#shared[entry]!)) {
        // Only an id made on purpose gets here: another source uses this event's UUIDv5 as its id. It must not count as a
        // duplicate, for it has no row.
        this.#addPoison(row, '23505', 'the keys of the event are taken by other sources')
      }
    }
    await this.#stage(this.#encoder.rows.slice(first), true)
  }

  /** Answers the rows whose key belongs to another source's event. */
  async #insertStaged(rows: readonly EncodedRow[]): Promise<EncodedRow[]> {
    const client = this.#client
    if (this.#hasStaged) await client.query('TRUNCATE pg_temp.millrace_staging')
    this.#hasStaged = true
    await copyToStaging(client, rows, this.#encoder.bytes)
    const landed = (await client.query(this.#staging.insert)).rowCount ?? 0
    const differing = landed === rows.length ? [] : (await client.query<Comparison>(this.#staging.compare)).rows
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
