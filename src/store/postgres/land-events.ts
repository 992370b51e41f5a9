// Lands one call's entries: one row for each event that has none, all of them or nothing.
//
// Nearly always it is one COPY into `events`, which is a transaction of its own. Where the server refuses that, because an
// event has its row already or a row is poison, the call goes again in one transaction through a staging table, cut in
// halves until each poison row stands alone: k of them take 1 + 2k log2 N tries.
// Not its job: what a failure means for the caller (sqlstate.ts), connections (postgres-store.ts).

import { pipeline } from 'node:stream/promises'
import type { PoolClient } from 'pg'
import { from as copyFrom } from 'pg-copy-streams'
import { priorityOfLane } from '../../event.ts'
import type { StreamName } from '../../event-log/event-log.ts'
import type { LandedCounts, LandingEntry, PoisonEvent } from '../event-store.ts'
import {
  CopyEncoder,
  copyHeader,
  copyTrailer,
  type EncodedRow,
  type EntryColumns,
  eventColumns,
} from './copy-encoder.ts'
import { readSql } from './sql-file.ts'
import { failureKind, sqlStateOf } from './sqlstate.ts'

/** pg-copy-streams makes two writes to the socket of each piece that it gets: large ones, but not the whole. */
const pieceBytes = 128 * 1024

const columns = eventColumns.join(', ')
const copyEvents = `COPY events (${columns}) FROM STDIN (FORMAT binary)`
const copyStaging = `COPY pg_temp.millrace_staging (place, has_time, ${columns}) FROM STDIN (FORMAT binary)`

/** Of a staged row beyond its event's columns: their number, the place, and whether it has a time. */
const stagedHeadBytes = 2 + 8 + 5

interface Comparison {
  readonly place: number
  readonly isSameSource: boolean
}

export class EventLander {
  readonly #createStaging = readSql('create-staging')
  readonly #insertStaged = readSql('insert-staged')
  readonly #compareStaged = readSql('compare-staged')
  readonly #streamNumber = readSql('stream-number')
  readonly #numberOfStream = new Map<string, number>()
  /** Whether a COPY into `events` is worth a try: what came twice comes again in many calls. */
  #expectFresh = true

  /** Lands the entries over a connection that nobody else uses meanwhile. Rejects with the driver's error. */
  async land(client: PoolClient, entries: readonly LandingEntry[]): Promise<LandedCounts> {
    const encoder = new CopyEncoder()
    const shared: EntryColumns[] = []
    for (const [index, entry] of entries.entries()) {
      const { stream, epoch } = entry.position
      const number = await this.#numberOf(client, stream, epoch)
      shared.push({ entry, priority: priorityOfLane[stream.lane], stream: number })
      encoder.add(index, shared[index]!)
    }
    if (this.#expectFresh && (await copyAll(client, encoder))) {
      return { landed: encoder.rows.length, duplicates: 0, conflicts: 0, poison: encoder.poison }
    }
    const staged = await this.#landThroughStaging(client, encoder, shared)
    this.#expectFresh = staged.duplicates === 0
    return staged
  }

  /** After a COMMIT whose answer was lost: whether the rows are there is found out by the next call. */
  expectDuplicates(): void {
    this.#expectFresh = false
  }

  async #numberOf(client: PoolClient, { topic, partition, lane }: StreamName, epoch: number): Promise<number> {
    const name = `${topic}/${partition}/${lane}/${epoch}`
    const known = this.#numberOfStream.get(name)
    if (known !== undefined) return known
    const { rows } = await client.query<{ stream: number }>(this.#streamNumber, [topic, partition, lane, epoch])
    const { stream } = rows[0]!
    this.#numberOfStream.set(name, stream)
    return stream
  }

  async #landThroughStaging(
    client: PoolClient,
    encoder: CopyEncoder,
    shared: readonly EntryColumns[],
  ): Promise<LandedCounts> {
    await client.query('BEGIN')
    try {
      await client.query(this.#createStaging)
      const staging = new StagedLanding(client, encoder, shared, this.#insertStaged, this.#compareStaged)
      await staging.land(encoder.rows.slice())
      await client.query('COMMIT')
      const poison = staging.poison.concat(encoder.poison).sort((a, b) => a.entry - b.entry || a.index - b.index)
      return { landed: staging.landed, duplicates: staging.duplicates, conflicts: staging.conflicts, poison }
    } catch (thrown) {
      await client.query('ROLLBACK').catch(() => {})
      throw thrown
    }
  }
}

/** False when a row is refused: then no row is there. */
async function copyAll(client: PoolClient, encoder: CopyEncoder): Promise<boolean> {
  try {
    await copy(client, copyEvents, [encoder.bytes])
    return true
  } catch (thrown) {
    const kind = failureKind(thrown)
    if (kind === 'row' || kind === 'taken') return false
    throw thrown
  }
}

/** One call's way through the staging table, inside a transaction. */
class StagedLanding {
  landed = 0
  duplicates = 0
  conflicts = 0
  readonly poison: PoisonEvent[] = []
  readonly #client: PoolClient
  readonly #encoder: CopyEncoder
  readonly #shared: readonly EntryColumns[]
  readonly #insert: string
  readonly #compare: string

  constructor(
    client: PoolClient,
    encoder: CopyEncoder,
    shared: readonly EntryColumns[],
    insert: string,
    compare: string,
  ) {
    this.#client = client
    this.#encoder = encoder
    this.#shared = shared
    this.#insert = insert
    this.#compare = compare
  }

  /** Lands these rows, or halves of them until the ones that are refused stand alone. */
  async land(rows: readonly EncodedRow[], isSecondKey = false): Promise<void> {
    if (rows.length === 0) return
    const client = this.#client
    await client.query('SAVEPOINT millrace')
    let others: readonly EncodedRow[]
    try {
      others = await this.#tryToLand(rows)
      await client.query('RELEASE SAVEPOINT millrace')
    } catch (thrown) {
      if (failureKind(thrown) !== 'row') throw thrown
      await client.query('ROLLBACK TO SAVEPOINT millrace')
      if (rows.length === 1) {
        this.#addPoison(rows[0]!, sqlStateOf(thrown)!, (thrown as Error).message)
        return
      }
      const middle = rows.length >>> 1
      await this.land(rows.slice(0, middle), isSecondKey)
      await this.land(rows.slice(middle), isSecondKey)
      return
    }
    await this.#landOthers(others, isSecondKey)
  }

  /** Answers the rows whose key belongs to another source's event. */
  async #tryToLand(rows: readonly EncodedRow[]): Promise<EncodedRow[]> {
    const client = this.#client
    await client.query('TRUNCATE pg_temp.millrace_staging')
    await copy(client, copyStaging, stagedPieces(rows, this.#encoder.bytes))
    const { rowCount } = await client.query(this.#insert)
    const landed = rowCount ?? 0
    const differing = landed === rows.length ? [] : (await client.query<Comparison>(this.#compare)).rows
    const others = differing.filter(({ isSameSource }) => !isSameSource)
    this.landed += landed
    this.duplicates += rows.length - landed - others.length
    this.conflicts += differing.length - others.length
    return others.map(({ place }) => rows[place]!)
  }

  async #landOthers(others: readonly EncodedRow[], isSecondKey: boolean): Promise<void> {
    const first = this.#encoder.rows.length
    for (const row of others) {
      const { entry, index } = row
      if (isSecondKey || !this.#encoder.addUnderSecondKey(entry, index, this.#shared[entry]!)) {
        // Only an id made on purpose gets here: another source uses this event's UUIDv5 as its id. It must not count as a
        // duplicate, for it has no row.
        this.#addPoison(row, '23505', 'the keys of the event are taken by other sources')
      }
    }
    await this.land(this.#encoder.rows.slice(first), true)
  }

  #addPoison({ entry, index }: EncodedRow, databaseCode: string, message: string): void {
    this.poison.push({ entry, index, databaseCode, message })
  }
}

function* stagedPieces(rows: readonly EncodedRow[], bytes: Buffer): Generator<Buffer> {
  for (const [place, { start, end, hasTime }] of rows.entries()) {
    const head = Buffer.alloc(stagedHeadBytes)
    head.writeInt16BE(eventColumns.length + 2, 0)
    head.writeInt32BE(4, 2)
    head.writeInt32BE(place, 6)
    head.writeInt32BE(1, 10)
    head[14] = hasTime ? 1 : 0
    yield head
    // Without the number of the event's own columns.
    yield bytes.subarray(start + 2, end)
  }
}

/** Sends the rows to a COPY and waits for its end. */
async function copy(client: PoolClient, statement: string, rows: Iterable<Buffer>): Promise<void> {
  await pipeline(piecesOf(rows), client.query(copyFrom(statement)))
}

/** The whole stream of a COPY, in pieces of about `pieceBytes`. */
function* piecesOf(rows: Iterable<Buffer>): Generator<Buffer> {
  let gathered: Buffer[] = [copyHeader]
  let bytes = copyHeader.length
  for (const row of rows) {
    for (let at = 0; at < row.length; at += pieceBytes) {
      const part = row.subarray(at, at + pieceBytes)
      gathered.push(part)
      bytes += part.length
      if (bytes < pieceBytes) continue
      yield gathered.length === 1 ? part : Buffer.concat(gathered)
      gathered = []
      bytes = 0
    }
  }
  gathered.push(copyTrailer)
  yield Buffer.concat(gathered)
}
