// Lands the entries of one call: one row for each event that has none, all or nothing.
//
// Nearly always this is one COPY into `events`, which is a transaction of its own. If rows may already exist, a query
// first finds which; those few go through a staging table (landing-transaction.ts), the others through COPY. Rows are
// sent in the order of their keys, so two calls with the same events wait for each other and do not deadlock. After a
// timeout a call lands in smaller parts, each all or nothing. If a later part fails, the caller retries the whole call,
// and the landed events count as duplicates.
// Not its job: what a failure means for the caller (sqlstate.ts), connections (postgres-store.ts).

import type { PoolClient } from 'pg'
import { priorityOfLane } from '../../event/event.ts'
import type { StreamName } from '../../event-log/event-log.ts'
import type { LandedCounts, LandingEntry } from '../event-store.ts'
import { CopyEncoder, type EncodedRow, type EntryColumns } from './copy-encoder.ts'
import { compareKeys, copyToEvents, encodeKeys } from './copy-rows.ts'
import { type LandingRows, LandingTransaction } from './landing-transaction.ts'
import { readSql } from './sql-file.ts'
import type { FailureKinds } from './sqlstate.ts'

/** One call of landEvents. */
interface Call {
  readonly client: PoolClient
  readonly encoder: CopyEncoder
  /** One element per entry. */
  readonly columns: readonly EntryColumns[]
}

/** `fresh`: no row is known to exist, each key once. `known`: a row exists, or the key is repeated in the call. */
interface SplitRows {
  readonly fresh: readonly EncodedRow[]
  readonly known: readonly EncodedRow[]
}

export class EventLander {
  readonly #findKeys = readSql('find-keys')
  readonly #streamNumber = readSql('stream-number')
  readonly #staging = {
    create: createStaging('DELETE ROWS'),
    insert: readSql('insert-staged'),
    compare: readSql('compare-staged'),
    createMark: readSql('create-mark'),
  }
  /** For a session that other programs use afterwards. */
  readonly #createForTransaction = createStaging('DROP')
  readonly #failures: FailureKinds
  readonly #isPooled: () => boolean
  readonly #numberOfStream = new Map<string, number>()
  /** Whether to try COPY without querying the keys first. False after duplicates: they usually come in many calls. */
  #expectFresh = true
  /** Max rows per transaction; halved on timeout, doubled on success. */
  #maxRows = Number.POSITIVE_INFINITY
  /** The memory of the last call, reused to avoid allocating megabytes many times a second. */
  #spareMemory: Buffer | null = null

  /**
   * @param failures what the server's errors mean.
   * @param isPooled whether each transaction may get another session.
   */
  constructor(failures: FailureKinds, isPooled: () => boolean) {
    this.#failures = failures
    this.#isPooled = isPooled
  }

  /** Lands the entries. `client` must not be used for anything else meanwhile. Rejects with the driver's error. */
  async land(client: PoolClient, entries: readonly LandingEntry[]): Promise<LandedCounts> {
    const encoder = new CopyEncoder(this.#takeMemory(expectedBytes(entries)))
    const columns: EntryColumns[] = []
    for (const [index, entry] of entries.entries()) {
      const { stream, epoch } = entry.position
      const number = await this.#numberOf(client, stream, epoch)
      columns.push({ entry, priority: priorityOfLane[stream.lane], stream: number })
      encoder.add(index, columns[index]!)
    }
    const { bytes } = encoder
    // Sorting is stable: among equal keys the first event stays first.
    const rows = encoder.rows.toSorted((a, b) => compareKeys(a, b, bytes))
    let counts: LandedCounts = { landed: 0, duplicates: 0, conflicts: [], poison: encoder.poison }
    for (let at = 0; at < rows.length; ) {
      const part = rows.slice(at, at + this.#maxRows)
      counts = sum(counts, await this.#landInTime({ client, encoder, columns }, part))
      at += part.length
    }
    this.#maxRows *= 2
    // Not after a failure: a broken connection may still reference this memory.
    if (encoder.memory.length <= maxSpareBytes) this.#spareMemory = encoder.memory
    return { ...counts, poison: counts.poison.toSorted((a, b) => a.entry - b.entry || a.index - b.index) }
  }

  #takeMemory(bytes: number): Buffer {
    const spare = this.#spareMemory
    this.#spareMemory = null
    return spare !== null && spare.length >= bytes ? spare : Buffer.allocUnsafeSlow(bytes)
  }

  /** For a lost COMMIT response: makes the next call query which rows exist. */
  expectDuplicates(): void {
    this.#expectFresh = false
  }

  /** For a new connection: the server may have another database now, in which the streams have other numbers. */
  forgetStreams(): void {
    this.#numberOfStream.clear()
  }

  /** Lands one part; on timeout it halves `#maxRows` and rethrows. */
  async #landInTime(call: Call, rows: readonly EncodedRow[]): Promise<LandedCounts> {
    try {
      return await this.#landPart(call, rows)
    } catch (thrown) {
      if (this.#failures.kindOf(thrown) === 'timeout') this.#maxRows = Math.max(1, rows.length >>> 1)
      throw thrown
    }
  }

  /** @param rows in the order of their keys. */
  async #landPart(call: Call, rows: readonly EncodedRow[]): Promise<LandedCounts> {
    let { fresh, known } = splitRows(rows, call, new Set())
    const wasTried = this.#expectFresh && known.length === 0
    let counts = wasTried ? await this.#copyAll(call, fresh) : null
    if (counts === null) {
      ;({ fresh, known } = splitRows(rows, call, await this.#rowsWithKey(call, rows)))
      if (!wasTried && known.length === 0) counts = await this.#copyAll(call, fresh)
      // If no rows are known, the server has just rejected exactly these rows.
      counts ??= await this.#landInTransaction(call, { fresh, isRefused: known.length === 0, known, skipped: [] })
    }
    this.#expectFresh = counts.duplicates === 0
    return counts
  }

  async #landInTransaction(call: Call, rows: LandingRows): Promise<LandedCounts> {
    const staging = this.#isPooled() ? { ...this.#staging, create: this.#createForTransaction } : this.#staging
    const parts = { ...call, staging, failures: this.#failures }
    try {
      return await new LandingTransaction({ ...parts, checksDeferred: false }).land(rows)
    } catch (thrown) {
      // Any other failure says nothing about a row.
      if (!this.#failures.isRowFailure(thrown)) throw thrown
      return await new LandingTransaction({ ...parts, checksDeferred: true }).land(rows)
    }
  }

  /** Lands the rows with one COPY. Returns null if the server rejects a row: then none is inserted. */
  async #copyAll(call: Call, rows: readonly EncodedRow[]): Promise<LandedCounts | null> {
    const copied = await this.#copy(call, rows).catch((thrown: unknown) => {
      if (this.#failures.isRowFailure(thrown)) return null
      throw thrown
    })
    if (copied === null) return null
    if (copied < rows.length) return await this.#landSkipped(call, rows, copied)
    return { landed: copied, duplicates: 0, conflicts: [], poison: [] }
  }

  /** Returns how many rows were inserted. Behind a pooler only a transaction has timeouts, so the COPY gets one. */
  async #copy({ client, encoder }: Call, rows: readonly EncodedRow[]): Promise<number> {
    if (!this.#isPooled()) return await copyToEvents(client, rows, encoder.bytes)
    await client.query('BEGIN')
    try {
      const copied = await copyToEvents(client, rows, encoder.bytes)
      await client.query('COMMIT')
      return copied
    } catch (thrown) {
      await client.query('ROLLBACK').catch(() => {})
      throw thrown
    }
  }

  /** After a COPY of which a trigger on the table has skipped rows: tries those that are missing once more. */
  async #landSkipped(call: Call, rows: readonly EncodedRow[], copied: number): Promise<LandedCounts> {
    const stored = await this.#rowsWithKey(call, rows)
    const skipped = rows.filter((row) => !stored.has(row))
    // If more are stored than were copied, the trigger has skipped some that existed. It is unknown which, so all are
    // compared, and the copied ones are counted as duplicates once more.
    const known = stored.size > copied ? rows.filter((row) => stored.has(row)) : []
    const counts = await this.#landInTransaction(call, { fresh: [], isRefused: false, known, skipped })
    const countedTwice = known.length === 0 ? 0 : copied
    return { ...counts, landed: counts.landed + copied, duplicates: counts.duplicates - countedTwice }
  }

  async #rowsWithKey({ client, encoder }: Call, rows: readonly EncodedRow[]): Promise<Set<EncodedRow>> {
    const found = await client.query<{ number: number }>(this.#findKeys, [encodeKeys(rows, encoder.bytes)])
    return new Set(found.rows.map(({ number }) => rows[number - 1]!))
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
}

function createStaging(onCommit: string): string {
  return readSql('create-staging').replace('{onCommit}', () => onCommit)
}

/** Larger memory is not kept for the next call. */
const maxSpareBytes = 16 * 1024 * 1024

/** About how many bytes a row has beyond its event. A good estimate avoids growing, that is copying, the memory. */
const usualBytesOfRow = 160

function expectedBytes(entries: readonly LandingEntry[]): number {
  return entries.reduce((sum, { batch }) => sum + batch.bytes.length + batch.count * usualBytesOfRow, usualBytesOfRow)
}

function splitRows(rows: readonly EncodedRow[], { encoder }: Call, stored: ReadonlySet<EncodedRow>): SplitRows {
  const { bytes } = encoder
  const fresh: EncodedRow[] = []
  const known: EncodedRow[] = []
  for (const [index, row] of rows.entries()) {
    const isRepeated = index > 0 && compareKeys(rows[index - 1]!, row, bytes) === 0
    if (isRepeated || stored.has(row)) known.push(row)
    else fresh.push(row)
  }
  return { fresh, known }
}

function sum(a: LandedCounts, b: LandedCounts): LandedCounts {
  return {
    landed: a.landed + b.landed,
    duplicates: a.duplicates + b.duplicates,
    conflicts: [...a.conflicts, ...b.conflicts],
    poison: [...a.poison, ...b.poison],
  }
}
