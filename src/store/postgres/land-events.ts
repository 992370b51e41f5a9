// Lands one call's entries: one row for each event that has none, all of them or nothing.
//
// Nearly always it is one COPY into `events`, which is a transaction of its own. Where events may have their rows already,
// the server is asked first which ones do; those few take the way through a staging table (landing-transaction.ts), and
// the others the COPY.
// Rows are sent in the order of their keys, so two calls with the same events wait for each other and do not deadlock.
// Not its job: what a failure means for the caller (sqlstate.ts), connections (postgres-store.ts).

import type { PoolClient } from 'pg'
import { priorityOfLane } from '../../event.ts'
import type { StreamName } from '../../event-log/event-log.ts'
import type { LandedCounts, LandingEntry } from '../event-store.ts'
import { CopyEncoder, type EncodedRow, type EntryColumns } from './copy-encoder.ts'
import { compareKeys, copyToEvents, encodeKeys } from './copy-rows.ts'
import { LandingTransaction } from './landing-transaction.ts'
import { readSql } from './sql-file.ts'
import { failureKind } from './sqlstate.ts'

/** The rows of a call: what has no row yet as far as is known, each key once, and the rest. */
interface SplitRows {
  readonly fresh: readonly EncodedRow[]
  readonly known: readonly EncodedRow[]
}

export class EventLander {
  readonly #findKeys = readSql('find-keys')
  readonly #streamNumber = readSql('stream-number')
  readonly #staging = {
    create: readSql('create-staging'),
    insert: readSql('insert-staged'),
    compare: readSql('compare-staged'),
  }
  readonly #numberOfStream = new Map<string, number>()
  /** Whether a COPY is worth a try without a look: what came twice comes again in many calls. */
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
    const { bytes } = encoder
    // Sorting is stable: of equal keys the first event given stays the first.
    const rows = encoder.rows.toSorted((a, b) => compareKeys(a, b, bytes))

    let { fresh, known } = splitRows(rows, bytes, new Set())
    const wasTried = this.#expectFresh && known.length === 0
    if (wasTried && (await copyAll(client, fresh, bytes))) return allLanded(encoder)
    ;({ fresh, known } = splitRows(rows, bytes, await this.#rowsWithKey(client, rows, bytes)))
    if (!wasTried && known.length === 0 && (await copyAll(client, fresh, bytes))) {
      this.#expectFresh = true
      return allLanded(encoder)
    }
    const transaction = new LandingTransaction(client, encoder, shared, this.#staging)
    // Without known rows it is these that have just been refused.
    const counts = await transaction.land(fresh, known, { isRefused: known.length === 0 })
    this.#expectFresh = counts.duplicates === 0
    return counts
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

  async #rowsWithKey(client: PoolClient, rows: readonly EncodedRow[], bytes: Buffer): Promise<Set<EncodedRow>> {
    const found = await client.query<{ number: number }>(this.#findKeys, [encodeKeys(rows, bytes)])
    return new Set(found.rows.map(({ number }) => rows[number - 1]!))
  }
}

/** @param rows in the order of their keys. */
function splitRows(rows: readonly EncodedRow[], bytes: Buffer, stored: ReadonlySet<EncodedRow>): SplitRows {
  const fresh: EncodedRow[] = []
  const known: EncodedRow[] = []
  for (const [index, row] of rows.entries()) {
    const isRepeated = index > 0 && compareKeys(rows[index - 1]!, row, bytes) === 0
    if (isRepeated || stored.has(row)) known.push(row)
    else fresh.push(row)
  }
  return { fresh, known }
}

/** False when a row is refused: then no row is there. */
async function copyAll(client: PoolClient, rows: readonly EncodedRow[], bytes: Buffer): Promise<boolean> {
  try {
    await copyToEvents(client, rows, bytes)
    return true
  } catch (thrown) {
    const kind = failureKind(thrown)
    if (kind === 'row' || kind === 'taken') return false
    throw thrown
  }
}

function allLanded({ rows, poison }: CopyEncoder): LandedCounts {
  return { landed: rows.length, duplicates: 0, conflicts: 0, poison }
}
