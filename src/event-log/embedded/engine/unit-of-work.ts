// What one transaction reads and changes. Each row of the books is read once, with its checksum verified, changed here,
// and written once before the COMMIT. After the transaction the unit of work is thrown away: what is in the file is the
// state.
//
// Rows that grow with what waits (settled ranges, attempts, due entries) and entries are written at once, because the
// same transaction reads them again by statements.

import type { Lane } from '../../../event/event.ts'
import { maxProducers, type StreamName } from '../../event-log.ts'
import type { BookTable, ColumnValue } from '../file/book-table.ts'
import type {
  Books,
  CursorRow,
  GroupRow,
  LedgerRow,
  LogRow,
  ProducerRow,
  RequestRow,
  StreamRow,
  TopicRow,
} from '../file/books.ts'
import type { EntryTable, NewEntry, OffsetRange } from '../file/entry-table.ts'
import { streamNumber } from '../file/stream-number.ts'

/** The rows of one table that a transaction has read. */
class Rows<Row extends { [K in keyof Row]: ColumnValue }> {
  readonly #table: BookTable<Row>
  readonly #read = new Map<string, Row | undefined>()
  readonly #changed = new Set<Row>()

  constructor(table: BookTable<Row>) {
    this.#table = table
  }

  get(...key: readonly (number | string)[]): Row | undefined {
    const name = key.join('/')
    if (!this.#read.has(name)) this.#read.set(name, this.#table.get(...key))
    return this.#read.get(name)
  }

  /** Marks a row as changed; the caller changes it in place. */
  change(row: Row): Row {
    this.#changed.add(row)
    return row
  }

  add(row: Row, ...key: readonly (number | string)[]): Row {
    this.#read.set(key.join('/'), row)
    return this.change(row)
  }

  /** Removes a row from the table at once. */
  remove(...key: readonly (number | string)[]): void {
    const row = this.get(...key)
    if (row !== undefined) this.#changed.delete(row)
    this.#read.set(key.join('/'), undefined)
    this.#table.remove(...key)
  }

  get isChanged(): boolean {
    return this.#changed.size > 0
  }

  write(): void {
    for (const row of this.#changed) this.#table.save(row)
  }
}

/** What is known of a new entry before it gets its place. */
export type EntryFields = Pick<NewEntry, 'count' | 'receivedAtMicros'> &
  Partial<Pick<NewEntry, 'endedAttempts' | 'dueAtMs' | 'originOffset'>>

/** The tables of an open log. */
export interface LogTables {
  readonly books: Books
  readonly entries: EntryTable
  /** The database file, for messages. */
  readonly path: string
}

export class UnitOfWork implements LogTables {
  readonly books: Books
  readonly entries: EntryTable
  readonly path: string
  readonly tables: LogTables
  readonly topics: Rows<TopicRow>
  readonly groups: Rows<GroupRow>
  readonly streams: Rows<StreamRow>
  readonly cursors: Rows<CursorRow>
  readonly ledgers: Rows<LedgerRow>
  readonly producers: Rows<ProducerRow>
  readonly requests: Rows<RequestRow>
  readonly #log: Rows<LogRow>
  readonly #topicNumbers = new Map<string, number | null>()
  readonly #groupsOf = new Map<number, readonly GroupRow[]>()
  #hasWritten = false

  constructor(tables: LogTables) {
    const { books, entries, path } = tables
    this.tables = tables
    this.books = books
    this.entries = entries
    this.path = path
    this.topics = new Rows(books.topics)
    this.groups = new Rows(books.groups)
    this.streams = new Rows(books.streams)
    this.cursors = new Rows(books.cursors)
    this.ledgers = new Rows(books.ledgers)
    this.producers = new Rows(books.producers)
    this.requests = new Rows(books.requests)
    this.#log = new Rows(books.log)
  }

  get log(): LogRow {
    return this.#log.get(1)!
  }

  changeLog(): LogRow {
    return this.#log.change(this.log)
  }

  /** Whether there is nothing to commit. */
  get isEmpty(): boolean {
    const { topics, groups, streams, cursors, ledgers, producers, requests } = this
    const all = [topics, groups, streams, cursors, ledgers, producers, requests, this.#log]
    return !this.#hasWritten && !all.some((rows: { readonly isChanged: boolean }) => rows.isChanged)
  }

  /** To be called when something else than a row of this unit was written. */
  written(): void {
    this.#hasWritten = true
  }

  write(): void {
    const { topics, groups, streams, cursors, ledgers, producers, requests } = this
    for (const rows of [topics, groups, streams, cursors, ledgers, producers, requests]) rows.write()
    if (producers.isChanged) this.#forgetSurplusProducers()
    this.#log.write()
  }

  /** Forgets the least recently used producers when there are too many. */
  #forgetSurplusProducers(): void {
    const surplus = this.log.producers - maxProducers
    if (surplus <= 0) return
    const oldest = '(stream, name) IN (SELECT stream, name FROM producers ORDER BY used_at LIMIT ?)'
    this.changeLog().producers -= this.books.producers.removeWhere(oldest, surplus)
  }

  topic(name: string): TopicRow | undefined {
    let number = this.#topicNumbers.get(name)
    if (number === undefined) {
      number = this.books.topics.select('WHERE name = ?', name)[0]?.topicNumber ?? null
      this.#topicNumbers.set(name, number)
    }
    return number === null ? undefined : this.topics.get(number)
  }

  addTopic(row: TopicRow): TopicRow {
    this.#topicNumbers.set(row.name, row.topicNumber)
    return this.topics.add(row, row.topicNumber)
  }

  /** The stream of a topic; undefined when there is no such topic or partition. */
  stream({ topic, partition, lane }: StreamName): StreamRow | undefined {
    const found = this.topic(topic)
    if (found === undefined || !(partition >= 0 && partition < found.partitions)) return undefined
    return this.streams.get(streamNumber(found.topicNumber, partition, lane))
  }

  ownStream(groupNumber: number, partition: number, lane: Lane): StreamRow {
    return this.streams.get(streamNumber(groupNumber, partition, lane))!
  }

  /** The groups of a topic that were not dropped. */
  groupsOf(topicNumber: number): readonly GroupRow[] {
    let groups = this.#groupsOf.get(topicNumber)
    if (groups === undefined) {
      const rows = this.books.groups.select(`WHERE topic_number = ? AND state <> 'dropped'`, topicNumber)
      groups = rows.map(({ groupNumber }) => this.groups.get(groupNumber)!).filter(({ state }) => state !== 'dropped')
      this.#groupsOf.set(topicNumber, groups)
    }
    return groups
  }

  addGroup(row: GroupRow): GroupRow {
    this.groups.add(row, row.groupNumber)
    this.#groupsOf.set(row.topicNumber, [...this.groupsOf(row.topicNumber), row])
    return row
  }

  dropGroup(row: GroupRow): void {
    this.groups.change(row).state = 'dropped'
    this.#groupsOf.set(
      row.topicNumber,
      this.groupsOf(row.topicNumber).filter((other) => other !== row),
    )
  }

  /** Undefined when the group was dropped. */
  group(groupNumber: number): GroupRow | undefined {
    const row = this.groups.get(groupNumber)
    return row?.state === 'dropped' ? undefined : row
  }

  changeLedger(groupNumber: number, partition: number): LedgerRow {
    return this.ledgers.change(this.ledgers.get(groupNumber, partition)!)
  }

  /** Stores an entry at the end of a stream. */
  append(stream: StreamRow, fields: EntryFields, bytes: Uint8Array): NewEntry {
    const entry: NewEntry = {
      ...{ endedAttempts: -1, dueAtMs: -1, originOffset: -1 },
      ...fields,
      appendNumber: ++this.changeLog().lastAppendNumber,
      stream: stream.stream,
      firstOffset: stream.nextOffset,
      startByte: stream.nextByte,
    }
    this.entries.insert(entry, bytes)
    this.streams.change(stream)
    stream.nextOffset += entry.count
    stream.nextByte += bytes.length
    return entry
  }

  /** Marks a range of a topic's stream as settled, and merges it with those beside it. */
  settle(cursor: CursorRow, { start, end }: OffsetRange): void {
    const { groupNumber, stream } = this.cursors.change(cursor)
    const { settledRanges } = this.books
    let merged = { start, end }
    if (cursor.rangesAhead > 0) {
      const place = 'WHERE group_number = ? AND stream = ? AND'
      const before = settledRanges.select(
        `${place} first_offset < ? ORDER BY first_offset DESC LIMIT 1`,
        ...[groupNumber, stream, start],
      )[0]
      const after = settledRanges.get(groupNumber, stream, end)
      if (before?.endOffset === start) merged = { ...merged, start: before.firstOffset }
      if (after !== undefined) merged = { ...merged, end: after.endOffset }
      for (const range of [before?.endOffset === start ? before : undefined, after]) {
        if (range === undefined) continue
        settledRanges.remove(groupNumber, stream, range.firstOffset)
        cursor.rangesAhead--
      }
    }
    if (merged.start === cursor.settledBelow) {
      cursor.settledBelow = merged.end
      return
    }
    settledRanges.save({ groupNumber, stream, firstOffset: merged.start, endOffset: merged.end })
    cursor.rangesAhead++
  }

  /** Records how many times an entry below `handedOutBelow` was handed out. Once is the rule, and needs no row. */
  setAttempts(cursor: CursorRow, firstOffset: number, attempt: number, hadRow: boolean): void {
    const { groupNumber, stream } = this.cursors.change(cursor)
    if (attempt !== 1) {
      this.books.attempts.save({ groupNumber, stream, firstOffset, attempt })
      if (!hadRow) cursor.attemptsKept++
    } else if (hadRow) {
      this.forgetAttempts(cursor, firstOffset)
    }
  }

  forgetAttempts(cursor: CursorRow, firstOffset: number): void {
    this.books.attempts.remove(cursor.groupNumber, cursor.stream, firstOffset)
    this.cursors.change(cursor).attemptsKept--
  }
}
