// Entries in log.db: stored with a CRC-32 over their fields and bytes, which is verified when the bytes are read.
//
// Entries are found through the index, and one flipped bit in it can hide many entries that are sound in the table. So
// before an entry is treated as damaged, or a range as missing, the table itself is checked. If the table has what the
// index lacks, the file is damaged, and a repair restores everything.

import type { DatabaseSync, StatementSync } from 'node:sqlite'
import { EntryChecksum, type EntryColumns, type StoredEntry } from './entry-checksum.ts'
import { LogDamage } from './log-damage.ts'
import { sqlFile } from './sql-file.ts'

/** From `start` (included) to `end` (excluded). */
export interface OffsetRange {
  readonly start: number
  readonly end: number
}

/** An entry as it is stored. */
export interface NewEntry {
  readonly appendNumber: number
  readonly stream: number
  readonly firstOffset: number
  readonly count: number
  /** The number of bytes stored in its stream before it. */
  readonly startByte: number
  readonly receivedAtMicros: number
  /**
   * The rest is -1 in the streams of a topic. How many attempts at its events were settled or returned when it was stored:
   * the entry is suspect when it has been handed out more than once besides.
   */
  readonly endedAttempts: number
  /** The earliest time to hand it out, in milliseconds since 1970. */
  readonly dueAtMs: number
  /** The offset in the topic's stream at which its events were first stored. */
  readonly originOffset: number
}

/** Where an entry is, as the index says. */
export interface EntryPlace {
  readonly appendNumber: number
  readonly firstOffset: number
  readonly count: number
  readonly receivedAtMicros: number
  readonly byteLength: number
}

export interface EntryContent {
  readonly bytes: Uint8Array
  /** Whether the entry does not match its checksum. */
  readonly damaged: boolean
  readonly endedAttempts: number
  readonly originOffset: number
}

export interface EntryPage {
  readonly entries: readonly (EntryPlace & EntryContent)[]
  /** The page has everything in the file up to this offset (excluded). */
  readonly through: number
}

const entriesPerList = 64

export class EntryTable {
  readonly #path: string
  readonly #insert: StatementSync
  readonly #list: StatementSync
  readonly #read: StatementSync
  readonly #remove: StatementSync
  readonly #removeOfStreams: StatementSync
  readonly #find: StatementSync
  readonly #before: StatementSync
  readonly #checksum = new EntryChecksum()

  /** @param path the database file, for messages. */
  constructor(database: DatabaseSync, path: string) {
    this.#path = path
    this.#insert = database.prepare(sqlFile('insert-entry'))
    this.#list = database.prepare(sqlFile('list-entries'))
    this.#list.setReturnArrays(true)
    this.#read = database.prepare(sqlFile('read-entry'))
    this.#read.setReturnArrays(true)
    this.#remove = database.prepare(sqlFile('remove-entry'))
    this.#removeOfStreams = database.prepare(sqlFile('remove-of-streams'))
    this.#find = database.prepare(sqlFile('find-in-table'))
    this.#before = database.prepare(sqlFile('entry-before'))
  }

  insert(entry: NewEntry, bytes: Uint8Array): void {
    const { appendNumber, stream, firstOffset, count, startByte, receivedAtMicros } = entry
    const { endedAttempts, dueAtMs, originOffset } = entry
    const place = [appendNumber, stream, firstOffset, count, startByte, receivedAtMicros]
    const fields = [...place, endedAttempts, dueAtMs, originOffset]
    this.insertAsItIs({ fields, crc: this.#checksum.of(fields, bytes), bytes })
  }

  /** Inserts an entry with the checksum that it has, so that a damaged one stays recognisable. */
  insertAsItIs({ fields, crc, bytes }: Pick<StoredEntry, 'fields' | 'crc' | 'bytes'>): void {
    if (fields[6]! >= 0) this.#insert.run(...fields, crc, bytes)
    else this.#insert.run(...fields.slice(0, 6), null, null, null, crc, bytes)
  }

  remove(appendNumber: number): void {
    this.#remove.run(appendNumber)
  }

  /** Removes up to `maxEntries` entries of a range of streams (`to` excluded), and returns their number. */
  removeOfStreams(from: number, to: number, maxEntries: number): number {
    return Number(this.#removeOfStreams.run(from, to, maxEntries).changes)
  }

  /** The first entries that begin in a range of offsets, in order. */
  list(stream: number, { start, end }: OffsetRange, maxEntries = entriesPerList): EntryPlace[] {
    const rows = this.#list.all(stream, start, end, maxEntries) as unknown as [number, number, number, number, number][]
    return rows.map(([appendNumber, firstOffset, count, receivedAtMicros, byteLength]) => {
      return { appendNumber, firstOffset, count, receivedAtMicros, byteLength }
    })
  }

  /** Reads the bytes of an entry. Throws LogDamage when the entry is sound and only the index is wrong. */
  read(stream: number, { appendNumber, firstOffset, count }: EntryPlace): EntryContent {
    const { fields, ...content } = this.readNumbered(appendNumber)
    if (!content.damaged && (fields[1] !== stream || fields[2] !== firstOffset || fields[3] !== count)) {
      throw this.#indexDamage(
        `an index that agrees with entry ${appendNumber}`,
        `${count} events at offset ${firstOffset} of stream ${stream}`,
      )
    }
    return content
  }

  /** Reads an entry by its append number alone. The fields are in the order of EntryChecksum. */
  readNumbered(appendNumber: number): EntryContent & { readonly fields: readonly number[] } {
    const row = this.#read.get(appendNumber) as EntryColumns | undefined
    const { fields, bytes, damaged } = this.#checksum.read(row ?? [])
    return { bytes, damaged, endedAttempts: fields[6] ?? -1, originOffset: fields[8] ?? -1, fields }
  }

  /**
   * Reads a range of a stream until about `maxBytes` are read, at least one entry. The entries are in order and do not
   * overlap; a gap between them is missing in the file.
   */
  page(stream: number, { start, end }: OffsetRange, maxBytes: number): EntryPage {
    const entries: (EntryPlace & EntryContent)[] = []
    let through = start
    let bytes = 0
    while (through < end) {
      const places = this.list(stream, { start: through, end })
      for (const place of places) {
        if (entries.length > 0 && bytes >= maxBytes) return { entries, through }
        this.checkPlace(stream, place, { start: through, end })
        if (place.firstOffset > through) {
          this.confirmHole(stream, { start: through, end: place.firstOffset }, place.appendNumber)
        }
        const content = this.read(stream, place)
        entries.push({ ...place, ...content })
        bytes += content.bytes.length
        through = place.firstOffset + place.count
      }
      if (places.length > 0) continue
      this.confirmHole(stream, { start: through, end })
      through = end
    }
    return { entries, through: end }
  }

  /** The first offset of the entry that contains an offset; the offset itself when none does. */
  startOf(stream: number, offset: number): number {
    const found = this.#lastFrom(stream, offset)
    return found !== undefined && found.firstOffset + found.count > offset ? found.firstOffset : offset
  }

  /** Verifies every entry of a stream, whatever their places. */
  *walk(stream: number): Generator<EntryPlace & { readonly damaged: boolean }> {
    const end = Number.MAX_SAFE_INTEGER
    for (let start = 0; ; ) {
      const places = this.list(stream, { start, end })
      for (const place of places) yield { ...place, damaged: this.read(stream, place).damaged }
      const last = places.at(-1)
      if (last === undefined) return
      start = last.firstOffset + 1
    }
  }

  /**
   * Throws LogDamage when the table has an entry of the stream in a range where the index has none.
   * @param before the append number of the entry after the range, if there is one.
   */
  confirmHole(stream: number, { start, end }: OffsetRange, before = Number.MAX_SAFE_INTEGER): void {
    const from = this.#lastFrom(stream, start - 1)?.appendNumber ?? 0
    const hidden = this.#find.get(from, before, stream, start, end)
    if (hidden === undefined) return
    throw this.#indexDamage('an index with every entry', `an index without entry ${hidden.appendNumber}`)
  }

  /** Throws LogDamage unless an entry lies in a range. */
  checkPlace(stream: number, { firstOffset, count }: EntryPlace, { start, end }: OffsetRange): void {
    const isPlace = Number.isSafeInteger(firstOffset) && Number.isSafeInteger(count) && count >= 1
    if (isPlace && firstOffset >= start && firstOffset + count <= end) return
    throw this.#indexDamage(
      `consecutive entries of stream ${stream} from offset ${start} to ${end}`,
      `an entry of ${count} events at offset ${firstOffset}`,
    )
  }

  /** The last entry that begins at or before an offset, as the index says. */
  #lastFrom(stream: number, offset: number): Pick<EntryPlace, 'appendNumber' | 'firstOffset' | 'count'> | undefined {
    return this.#before.get(stream, offset) as unknown as EntryPlace | undefined
  }

  #indexDamage(expected: string, found: string): LogDamage {
    return new LogDamage(this.#path, expected, found)
  }
}
