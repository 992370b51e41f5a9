// Entries in log.db: stored with a CRC-32 over their fields and bytes, which is verified at every read.
//
// Entries are found through the index, and one flipped bit in it can hide many entries that are sound in the table. So
// before an entry is treated as damaged, or a range as missing, the table itself is checked. If the table has what the
// index lacks, the file is damaged, and a repair restores everything.

import type { DatabaseSync, StatementSync } from 'node:sqlite'
import { EntryChecksum } from './entry-checksum.ts'
import { LogDamage } from './log-damage.ts'
import type { OffsetRange } from './settled-ranges.ts'
import { sqlFile } from './sql-file.ts'
import { type EntriesRead, entryFields } from './thread-protocol.ts'

/** A row of read-entries.sql. */
type EntryColumns = [number, number, number, number, number, number, number, number, number, Uint8Array | null]

interface EntryPlace {
  readonly firstOffset: number
  readonly count: number
}

export class EntryTable {
  readonly #path: string
  readonly #insert: StatementSync
  readonly #read: StatementSync
  readonly #remove: StatementSync
  readonly #fields: StatementSync
  readonly #find: StatementSync
  readonly #before: StatementSync
  readonly #entryBefore: StatementSync
  readonly #checksum = new EntryChecksum()

  /** @param path the database file, for messages. */
  constructor(database: DatabaseSync, path: string) {
    this.#path = path
    this.#insert = database.prepare(sqlFile('insert-entry'))
    this.#read = database.prepare(sqlFile('read-entries'))
    this.#read.setReturnArrays(true)
    this.#remove = database.prepare(sqlFile('remove-entry'))
    this.#fields = database.prepare(sqlFile('entry-fields'))
    this.#fields.setReturnArrays(true)
    this.#find = database.prepare(sqlFile('find-in-table'))
    this.#before = database.prepare(sqlFile('append-number-before'))
    this.#entryBefore = database.prepare(sqlFile('entry-before'))
  }

  /** Stores entries: their numbers as in CommitRequest, their bytes concatenated. */
  insert(entries: Float64Array, allBytes: Uint8Array): void {
    let at = 0
    for (let row = 0; row < entries.length; row += entryFields) {
      const length = entries[row + 9]!
      const bytes = allBytes.subarray(at, at + length)
      at += length
      const attempt = entries[row + 6]!
      this.#insert.run(
        entries[row]!,
        entries[row + 1]!,
        entries[row + 2]!,
        entries[row + 3]!,
        entries[row + 4]!,
        entries[row + 5]!,
        attempt < 0 ? null : attempt,
        attempt < 0 ? null : entries[row + 7]!,
        attempt < 0 ? null : entries[row + 8]!,
        this.#checksum.of(entries.subarray(row, row + 9), bytes),
        bytes,
      )
    }
  }

  /** Removes an entry of a group's own stream. */
  remove(stream: number, firstOffset: number): void {
    this.#remove.run(stream, firstOffset)
  }

  /**
   * Reads a stream from an offset on until about `maxBytes` are read, at least one entry. The entries are in order and
   * do not overlap; a gap between them is missing in the file.
   */
  readPage(stream: number, from: number, to: number, maxBytes: number): EntriesRead {
    const found = new FoundEntries()
    let through = from
    let lastAppendNumber: number | null = null
    for (const row of this.#rows(stream, from, to)) {
      if (found.isEnough(maxBytes)) return found.reply(through)
      const [appendNumber, firstOffset, count] = row
      this.checkPlace(stream, { firstOffset, count }, through, to)
      if (firstOffset > through) {
        this.confirmHole(stream, { start: through, end: firstOffset }, lastAppendNumber, appendNumber)
      }
      found.add(row, this.#isSound(stream, row))
      through = firstOffset + count
      lastAppendNumber = appendNumber
    }
    if (through < to) this.confirmHole(stream, { start: through, end: to }, lastAppendNumber)
    return found.reply(to)
  }

  /** The first offset of the entry that contains an offset; the offset itself when none does. */
  startOf(stream: number, offset: number): number {
    const found = this.#entryBefore.get(stream, offset) as unknown as EntryPlace | undefined
    return found !== undefined && found.firstOffset + found.count > offset ? found.firstOffset : offset
  }

  /** Reads the entries that begin at these offsets until about `maxBytes` are read, at least one. */
  readEach(stream: number, offsets: readonly number[], maxBytes: number): EntriesRead {
    const found = new FoundEntries()
    let looked = 0
    for (const offset of offsets) {
      if (found.isEnough(maxBytes)) break
      looked++
      let isThere = false
      for (const row of this.#rows(stream, offset, offset + 1)) {
        found.add(row, this.#isSound(stream, row))
        isThere = true
      }
      if (!isThere) this.confirmHole(stream, { start: offset, end: offset + 1 }, null)
    }
    return found.reply(looked)
  }

  /** Reads and verifies every entry of a range, without returning the bytes. */
  *walk(stream: number, from: number, to: number): Generator<{ count: number; byteLength: number; isSound: boolean }> {
    for (const row of this.#rows(stream, from, to)) {
      yield { count: row[2], byteLength: row[9]?.length ?? 0, isSound: this.#isSound(stream, row) }
    }
  }

  /**
   * Throws LogDamage when the table has an entry of the stream in a range where the index has none.
   * @param after the append number of the entry before the range, if known.
   * @param before the append number of the entry after the range, if there is one.
   */
  confirmHole(
    stream: number,
    { start, end }: OffsetRange,
    after: number | null,
    before = Number.MAX_SAFE_INTEGER,
  ): void {
    const from = after ?? (this.#before.get(stream, start) as { appendNumber: number } | undefined)?.appendNumber ?? 0
    const hidden = this.#find.get(from, before, stream, start, end)
    if (hidden === undefined) return
    throw this.#indexDamage(`an index with every entry`, `an index without entry ${hidden.appendNumber}`)
  }

  /** Throws LogDamage unless an entry lies between two offsets. */
  checkPlace(stream: number, { firstOffset, count }: EntryPlace, from: number, to: number): void {
    const isPlace = Number.isSafeInteger(firstOffset) && Number.isSafeInteger(count) && count >= 1
    if (isPlace && firstOffset >= from && firstOffset + count <= to) return
    throw this.#indexDamage(
      `consecutive entries of stream ${stream} from offset ${from} to ${to}`,
      `an entry of ${count} events at offset ${firstOffset}`,
    )
  }

  #rows(stream: number, from: number, to: number): Iterable<EntryColumns> {
    return this.#read.iterate(stream, from, to) as unknown as Iterable<EntryColumns>
  }

  /**
   * Whether the entry matches its checksum. Throws LogDamage when the table row is sound and only the index is wrong.
   */
  #isSound(stream: number, row: EntryColumns): boolean {
    const [appendNumber, firstOffset, count, startByte, receivedAt, attempt, dueAt, origin, crc, bytes] = row
    const fields = [appendNumber, stream, firstOffset, count, startByte, receivedAt, attempt, dueAt, origin]
    if (bytes instanceof Uint8Array && crc === this.#checksum.of(fields, bytes)) return true
    const inTable = this.#fields.get(appendNumber) as unknown as (number | Uint8Array | null)[] | undefined
    if (inTable === undefined) return false
    const [tableCrc, tableBytes] = inTable.slice(9)
    if (
      tableBytes instanceof Uint8Array &&
      this.#checksum.of(inTable.slice(0, 9) as number[], tableBytes) === tableCrc
    ) {
      throw this.#indexDamage(
        `an index that agrees with entry ${appendNumber}`,
        `${count} events at offset ${firstOffset}`,
      )
    }
    return false
  }

  #indexDamage(expected: string, found: string): LogDamage {
    return new LogDamage(this.#path, expected, found)
  }
}

/** Collects the entries of a read and packs them for the main thread. */
class FoundEntries {
  readonly #numbers: number[] = []
  readonly #blobs: Uint8Array[] = []
  #bytes = 0

  isEnough(maxBytes: number): boolean {
    return this.#blobs.length > 0 && this.#bytes >= maxBytes
  }

  add(
    [, firstOffset, count, startByte, receivedAt, attempt, dueAt, origin, , blob]: EntryColumns,
    isSound: boolean,
  ): void {
    const bytes = blob instanceof Uint8Array ? blob : new Uint8Array(0)
    this.#numbers.push(firstOffset, count, startByte, receivedAt, attempt, dueAt, origin, bytes.length, isSound ? 0 : 1)
    this.#blobs.push(bytes)
    this.#bytes += bytes.length
  }

  reply(through: number): EntriesRead {
    const all = Buffer.allocUnsafeSlow(this.#bytes)
    let at = 0
    for (const blob of this.#blobs) {
      all.set(blob, at)
      at += blob.length
    }
    return { entries: Float64Array.from(this.#numbers), bytes: all.buffer as ArrayBuffer, through }
  }
}
