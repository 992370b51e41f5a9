// Lands rows in one transaction if some of them already exist or are poison.
//
// New rows go into `events` by COPY. The others go through a staging table: those that exist are skipped and compared
// with the stored row. Each attempt has a savepoint; a rejected one is split in halves until the poison row is alone,
// so k poison rows among N take 2k log2 N further attempts.
//
// A constraint that the table's owner has deferred rejects only the COMMIT. The transaction is then repeated with these
// constraints checked by each attempt, and rows that fail alone are tried once more together, because such constraints
// exist for rows that need each other.

import type { ClientBase, DatabaseError } from 'pg'
import type { EventPlace, LandedCounts, PoisonEvent } from '../event-store.ts'
import type { CopyEncoder, EncodedRow, EntryColumns } from './copy-encoder.ts'
import { copyToEvents, copyToStaging } from './copy-rows.ts'
import { type FailureKinds, rowSkipped } from './sqlstate.ts'

interface Comparison {
  readonly place: number
  readonly isStored: boolean
  readonly isSameSource: boolean
}

/** The SQL texts for the staging table, and for the mark (create-mark.sql). */
export interface StagingStatements {
  readonly create: string
  readonly insert: string
  readonly compare: string
  readonly createMark: string
}

/** A trigger skipped a row. */
class RowSkipped extends Error {
  readonly code = rowSkipped.databaseCode
  override readonly message = rowSkipped.message
}

/** Why an attempt has failed. */
type Rejection = DatabaseError | RowSkipped

/** What an attempt has done with its rows. */
interface Landed {
  readonly landed: number
  readonly duplicates: number
  readonly conflicts: readonly EventPlace[]
  /** The rows whose key belongs to another source's event. */
  readonly others: readonly EncodedRow[]
}

/** A method to land rows: COPY into `events`, or the staging table. */
interface LandingMethod {
  land(rows: readonly EncodedRow[]): Promise<Landed>
  /**
   * Called with the rows if a key among them is taken (23505). Without it, `land` handles taken keys itself; a 23505
   * then comes from a unique index that the owner has added, and rejects the row like any other constraint.
   */
  landTaken?(rows: readonly EncodedRow[]): Promise<void>
}

/** A row that the server rejects alone. */
interface RefusedRow {
  readonly row: EncodedRow
  readonly databaseCode: string
  readonly message: string
}

export interface LandingParts {
  readonly client: ClientBase
  /** Holds the rows. */
  readonly encoder: CopyEncoder
  /** One element per entry of the call. */
  readonly columns: readonly EntryColumns[]
  readonly staging: StagingStatements
  readonly failures: FailureKinds
  /** Whether each attempt also checks the deferred constraints, which otherwise reject the COMMIT. */
  readonly checksDeferred: boolean
}

/** The rows of one transaction, in the order of their keys. */
export interface LandingRows {
  /** Rows that are not known to exist, each key once. */
  readonly fresh: readonly EncodedRow[]
  /** Whether the server has already rejected the fresh rows as a whole. */
  readonly isRefused: boolean
  /** Rows that exist, or whose key is repeated. */
  readonly known: readonly EncodedRow[]
  /** Rows that a trigger has skipped. Each is tried alone. */
  readonly skipped: readonly EncodedRow[]
}

/** Checks what is deferred, and defers it again for the next attempt. */
const checkDeferred = 'SET CONSTRAINTS ALL IMMEDIATE; SET CONSTRAINTS ALL DEFERRED'

/** Its constraint's name, in the error (create-mark.sql). */
const markReached = 'millrace_mark_once'

/** Rows that may be sent in search of those that prevent the others from landing together: a few seconds of work. */
const maxSearchedRows = 200_000

export class LandingTransaction {
  readonly #parts: LandingParts
  readonly #poison: PoisonEvent[] = []
  #landed = 0
  #duplicates = 0
  readonly #conflicts: EventPlace[] = []
  #others: EncodedRow[] = []
  #refused: RefusedRow[] = []
  #searchedRows = 0
  #hasStaging = false
  /** Whether the staging table has rows. */
  #hasStaged = false

  constructor(parts: LandingParts) {
    this.#parts = parts
  }

  /**
   * Lands all rows or none. Rejects with the driver's error. If that is about a row, a deferred constraint has rejected
   * the COMMIT.
   */
  async land({ fresh, isRefused, known, skipped }: LandingRows): Promise<LandedCounts> {
    const copying: LandingMethod = { land: (rows) => this.#copy(rows), landTaken: (rows) => this.#stage(rows) }
    const { client, checksDeferred } = this.#parts
    await client.query('BEGIN')
    try {
      if (isRefused && fresh.length > 1) await this.#halve(fresh, copying)
      else await this.#attempt(fresh, copying)
      await this.#stage(known)
      for (const row of skipped) await this.#stage([row])
      if (checksDeferred) await this.#landTogether()
      await client.query('COMMIT')
    } catch (thrown) {
      await client.query('ROLLBACK').catch(() => {})
      throw thrown
    }
    for (const refused of this.#refused) this.#addPoison(refused)
    return { landed: this.#landed, duplicates: this.#duplicates, conflicts: this.#conflicts, poison: this.#poison }
  }

  /** Lands these rows; if they are rejected, lands halves of them until each rejected row is alone. */
  async #attempt(rows: readonly EncodedRow[], method: LandingMethod): Promise<void> {
    if (rows.length === 0) return
    const failure = await this.#try(() => method.land(rows))
    if (failure === null) return
    // A trigger may skip a row because it exists.
    const mayExist =
      failure instanceof RowSkipped ? rows.length === 1 : this.#parts.failures.kindOf(failure) === 'taken'
    if (mayExist && method.landTaken !== undefined) await method.landTaken(rows)
    else if (rows.length > 1) await this.#halve(rows, method)
    else this.#refused.push({ row: rows[0]!, databaseCode: failure.code!, message: failure.message })
  }

  /** Returns why a row of this attempt was rejected, which then has landed nothing; null if all have landed. */
  async #try(land: () => Promise<Landed>): Promise<Rejection | null> {
    const { client, failures, checksDeferred } = this.#parts
    const hadStaged = this.#hasStaged
    await client.query('SAVEPOINT millrace')
    try {
      const { landed, duplicates, conflicts, others } = await land()
      await client.query(`${checksDeferred ? `${checkDeferred}; ` : ''}RELEASE SAVEPOINT millrace`)
      this.#landed += landed
      this.#duplicates += duplicates
      this.#conflicts.push(...conflicts)
      this.#others.push(...others)
      return null
    } catch (thrown) {
      if (!(thrown instanceof RowSkipped || failures.isRowFailure(thrown))) throw thrown
      await client.query('ROLLBACK TO SAVEPOINT millrace; RELEASE SAVEPOINT millrace')
      this.#hasStaged = hadStaged
      return thrown
    }
  }

  async #halve(rows: readonly EncodedRow[], method: LandingMethod): Promise<void> {
    const middle = rows.length >>> 1
    await this.#attempt(rows.slice(0, middle), method)
    await this.#attempt(rows.slice(middle), method)
  }

  /**
   * Lands the rows that were rejected alone and are not when all of them are there. The first row whose check fails
   * even then is poison; the others are tried again without it.
   */
  async #landTogether(): Promise<void> {
    const refused = this.#refused.splice(0)
    if (refused.length > 0) await this.#createStaging()
    while (refused.length > 0 && this.#searchedRows < maxSearchedRows) {
      const rows = refused.map(({ row }) => row)
      this.#searchedRows += rows.length
      if ((await this.#try(() => this.#insertStaged(rows))) === null) {
        await this.#stageOthers(false)
        return
      }
      this.#addPoison(...refused.splice(await this.#firstFailing(rows), 1))
    }
    this.#addPoison(...refused)
  }

  /** The index of the first row that is refused at once; without one, of the first whose check fails with all there. */
  async #firstFailing(rows: readonly EncodedRow[]): Promise<number> {
    let [low, high] = [0, rows.length - 1]
    while (low < high) {
      const middle = (low + high) >>> 1
      if (await this.#failsBehind(rows, middle + 1)) low = middle + 1
      else high = middle
    }
    return low
  }

  /**
   * Whether the first failure of these rows is behind this many of them: a mark comes after those, whose check always
   * fails, which shows that theirs did not.
   */
  async #failsBehind(rows: readonly EncodedRow[], markAfter: number): Promise<boolean> {
    const { client, staging } = this.#parts
    this.#searchedRows += rows.length
    let isBehind = false
    const failure = await this.#try(async () => {
      await this.#insertStaged(rows.slice(0, markAfter))
      // Deferred constraints are checked in the order in which their rows were inserted.
      await client.query(staging.createMark)
      // A row that is refused at once keeps the mark from being checked.
      isBehind = true
      const landed = await this.#insertStaged(rows.slice(markAfter))
      isBehind = false
      return landed
    })
    return isBehind || (failure !== null && 'constraint' in failure && failure.constraint === markReached)
  }

  async #copy(rows: readonly EncodedRow[]): Promise<Landed> {
    const { client, encoder } = this.#parts
    if ((await copyToEvents(client, rows, encoder.bytes)) < rows.length) throw new RowSkipped()
    return { landed: rows.length, duplicates: 0, conflicts: [], others: [] }
  }

  /** Inserts the rows that do not exist yet. A row whose key belongs to another source's event gets its second key. */
  async #stage(rows: readonly EncodedRow[], isSecondKey = false): Promise<void> {
    if (rows.length === 0) return
    await this.#createStaging()
    await this.#attempt(rows, { land: (part) => this.#insertStaged(part) })
    await this.#stageOthers(isSecondKey)
  }

  /** Stages the rows whose key belongs to another source's event under their second key. */
  async #stageOthers(isSecondKey: boolean): Promise<void> {
    const { encoder, columns } = this.#parts
    const others = this.#others.splice(0)
    if (others.length === 0) return
    const first = encoder.rows.length
    for (const row of others) {
      const { entry, index } = row
      if (isSecondKey || !encoder.addUnderSecondKey(entry, index, columns[entry]!)) {
        // Only with a deliberately chosen id: another source uses this event's UUIDv5 as its id. The event must not
        // count as a duplicate, because it has no row.
        const message = 'the row keys of the event belong to events of other sources'
        this.#addPoison({ row, databaseCode: '23505', message })
      }
    }
    await this.#stage(encoder.rows.slice(first), true)
  }

  /** Outside of an attempt, which may be undone. */
  async #createStaging(): Promise<void> {
    const { client, staging } = this.#parts
    if (!this.#hasStaging) await client.query(staging.create)
    this.#hasStaging = true
  }

  async #insertStaged(rows: readonly EncodedRow[]): Promise<Landed> {
    const { client, encoder, staging } = this.#parts
    if (this.#hasStaged) await client.query('TRUNCATE pg_temp.millrace_staging')
    this.#hasStaged = true
    await copyToStaging(client, rows, encoder.bytes)
    const landed = (await client.query(staging.insert)).rowCount ?? 0
    const differing = landed === rows.length ? [] : (await client.query<Comparison>(staging.compare)).rows
    if (differing.some(({ isStored }) => !isStored)) throw new RowSkipped()
    const rowsAt = (found: readonly Comparison[]) => found.map(({ place }) => rows[place]!)
    const others = rowsAt(differing.filter(({ isSameSource }) => !isSameSource))
    const conflicts = rowsAt(differing.filter(({ isSameSource }) => isSameSource)).map(placeOf)
    return { landed, duplicates: rows.length - landed - others.length, conflicts, others }
  }

  #addPoison(...refused: readonly RefusedRow[]): void {
    for (const { row, databaseCode, message } of refused)
      this.#poison.push({ entry: row.entry, index: row.index, databaseCode, message })
  }
}

function placeOf({ entry, index }: EncodedRow): EventPlace {
  return { entry, index }
}
