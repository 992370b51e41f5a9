// Builds a new log.db from what could be read of a damaged one.
//
// Entries keep their append numbers and offsets. Each group begins at the place that its cursor names, or where that
// cannot be read at the oldest kept entry: then it gets events again that it has settled, which landing tolerates. A
// ledger that does not add up is made to: events that are handed out again are added to `reopened`, settled events that
// no ledger counts to `landed`. Missing events wait until the group comes to their place; there they are counted as lost.

import type { DatabaseSync, StatementSync } from 'node:sqlite'
import { lanes } from '../../../event/event.ts'
import { Checkpointer } from '../../../lib/sqlite/checkpointer.ts'
import { openDatabase, truncateWal } from '../../../lib/sqlite/open-database.ts'
import {
  Books,
  type CursorRow,
  type DueRow,
  type GroupRow,
  type LedgerRow,
  type LogRow,
  type ProducerRow,
  type StreamRow,
  type TopicRow,
} from '../file/books.ts'
import { createLogSchema, newLogRow } from '../file/log-database.ts'
import { logPageBytes } from '../file/log-format.ts'
import { sqlFile } from '../file/sql-file.ts'
import { maxPartitions, streamNumber } from '../file/stream-number.ts'
import type { ScannedEntry } from './entry-scan.ts'

export interface RebuiltLog {
  readonly entries: number
  readonly events: number
  /** How many of the entries have damaged bytes. They are handed out with `batch.damaged` set. */
  readonly damagedEntries: number
  /** Events known to be missing, for the group with the most missing events. */
  readonly lostEvents: number
}

/** The rows of the damaged log that can be read. */
export interface OldBooks {
  readonly log: LogRow | null
  readonly topics: readonly TopicRow[]
  readonly groups: readonly GroupRow[]
  readonly streams: ReadonlyMap<number, StreamRow>
  /** By group and stream. */
  readonly cursors: ReadonlyMap<string, CursorRow>
  readonly ledgers: ReadonlyMap<string, LedgerRow>
  readonly due: ReadonlyMap<number, readonly DueRow[]>
  readonly producers: readonly ProducerRow[]
  /** Null where nothing can be read. */
  readonly books: Books | null
}

export const noBooks: OldBooks = {
  ...{ log: null, topics: [], groups: [], streams: new Map(), cursors: new Map(), ledgers: new Map() },
  ...{ due: new Map(), producers: [], books: null },
}

/** The largest event count of a damaged entry that is accepted as plausible. */
const maxPlausibleCount = 1_000_000

/** About how many bytes one transaction writes. */
const bytesPerTransaction = 8 * 1024 * 1024

/** An entry of the new log. Lists of them are in offset order. */
interface KeptEntry {
  readonly appendNumber: number
  readonly firstOffset: number
  readonly count: number
  readonly startByte: number
  readonly byteLength: number
  readonly attempt: number
  readonly dueAtMs: number
}

export function readBooks(database: DatabaseSync, path: string): OldBooks {
  const books = new Books(database, path)
  const streams = books.streams.loadReadable()
  const topics = readTopics(books, streams)
  return {
    books,
    log: books.log.loadReadable()[0] ?? null,
    topics,
    groups: readGroups(books, topics),
    streams: new Map(streams.map((row) => [row.stream, row])),
    cursors: new Map(books.cursors.loadReadable().map((row) => [`${row.groupNumber}/${row.stream}`, row])),
    ledgers: new Map(books.ledgers.loadReadable().map((row) => [`${row.groupNumber}/${row.partition}`, row])),
    due: Map.groupBy(books.due.loadReadable(), ({ stream }) => stream),
    producers: books.producers.loadReadable(),
  }
}

/** A topic whose row is damaged keeps the name that is there: without it, all its events would be lost. */
function readTopics(books: Books, streams: readonly StreamRow[]): TopicRow[] {
  const partitionsOf = new Map<number, number>()
  for (const { topicNumber, partition } of streams) {
    partitionsOf.set(topicNumber, Math.max(partition + 1, partitionsOf.get(topicNumber) ?? 0))
  }
  return books.topics.loadUnchecked().flatMap(({ topicNumber, name, partitions }) => {
    const found = partitionsOf.get(topicNumber) ?? partitions
    const isPlausible = Number.isSafeInteger(topicNumber) && name !== '' && found >= 1 && found <= maxPartitions
    return isPlausible ? [{ topicNumber, name, partitions: found }] : []
  })
}

/** A group whose row is damaged keeps the name that is there: without it, its retries would be lost. */
function readGroups(books: Books, topics: readonly TopicRow[]): GroupRow[] {
  const topicNumbers = new Set(topics.map((row) => row.topicNumber))
  return books.groups.loadUnchecked().flatMap(({ state, ...row }) => {
    const { groupNumber, topicNumber, name, reason, ordered } = row
    const isKept = topicNumbers.has(topicNumber) && name !== '' && state !== 'dropped' && groupNumber > 0
    return isKept
      ? [{ groupNumber, topicNumber, name, reason, ordered, state: state === 'paused' ? state : 'running' }]
      : []
  })
}

/** Writes the new database to `path`, where no file may exist, then flushes and closes it. */
export function rebuildLog(
  path: string,
  old: OldBooks,
  entries: Iterable<ScannedEntry>,
  next: { readonly epoch: number; readonly lastAppendNumber: number },
): RebuiltLog {
  const file = { path, exclusive: true, busyTimeoutMs: 0, mayCreate: true, pageBytes: logPageBytes }
  const { database } = openDatabase(file)
  try {
    const empty = newLogRow(next.epoch, next.lastAppendNumber)
    createLogSchema(database, path, empty)
    const rebuilding = new Rebuilding(database, path, old)
    rebuilding.copyEntries(entries)
    const rebuilt = rebuilding.writeBooks(empty)
    truncateWal(database)
    return rebuilt
  } finally {
    database.close()
  }
}

class Rebuilding {
  readonly #database: DatabaseSync
  readonly #path: string
  readonly #old: OldBooks
  readonly #books: Books
  readonly #walk: StatementSync
  readonly #remove: StatementSync
  /** Append numbers of entries that do not match their checksum. */
  readonly #damaged = new Set<number>()
  readonly #kept = new Map<number, readonly KeptEntry[]>()

  constructor(database: DatabaseSync, path: string, old: OldBooks) {
    this.#database = database
    this.#path = path
    this.#old = old
    this.#books = new Books(database, path)
    this.#walk = database.prepare(sqlFile('walk-stream'))
    this.#remove = database.prepare(sqlFile('remove-entry'))
  }

  copyEntries(entries: Iterable<ScannedEntry>): void {
    const insert = this.#database.prepare(sqlFile('insert-entry'))
    const checkpointer = new Checkpointer(this.#database, this.#path)
    let bytes = 0
    this.#database.exec('BEGIN')
    for (const entry of entries) {
      if (!entry.isSound && !isPlausible(entry)) continue
      if (!entry.isSound) this.#damaged.add(entry.appendNumber)
      insertAsItIs(insert, entry)
      bytes += entry.bytes.length
      if (bytes < bytesPerTransaction) continue
      this.#database.exec('COMMIT')
      checkpointer.afterCommit(bytes)
      this.#database.exec('BEGIN')
      bytes = 0
    }
    this.#database.exec('COMMIT')
  }

  writeBooks(empty: LogRow): RebuiltLog {
    const { log, topics, groups, producers } = this.#old
    this.#database.exec('BEGIN')
    const streams = topics.flatMap((topic) => {
      const owners = groups.filter(({ topicNumber }) => topicNumber === topic.topicNumber)
      return [0, ...owners.map(({ groupNumber }) => groupNumber)].flatMap((owner) => this.#streamsOf(topic, owner))
    })
    this.#database.prepare(sqlFile('remove-orphaned-entries')).run(JSON.stringify([...this.#kept.keys()]))
    const streamOf = new Map(streams.map((row) => [row.stream, row]))
    const lostEvents = groups.map((group) => this.#writeGroup(group, streamOf))
    const keptProducers = producers.filter((row) => streamOf.has(row.stream))
    const numbers = [...topics.map((row) => row.topicNumber), ...groups.map((row) => row.groupNumber)]
    for (const row of topics) this.#books.topics.save(row)
    for (const row of groups) this.#books.groups.save(row)
    for (const row of streams) this.#books.streams.save(row)
    for (const row of keptProducers) this.#books.producers.save(row)
    this.#books.log.save({
      ...empty,
      lastNumber: Math.max(log?.lastNumber ?? 0, ...numbers),
      ...{ topics: topics.length, groups: groups.length, producers: keptProducers.length },
    })
    this.#database.exec('COMMIT')
    const all = [...this.#kept.values()].flat()
    return {
      entries: all.length,
      events: all.reduce((sum, { count }) => sum + count, 0),
      damagedEntries: all.filter(({ appendNumber }) => this.#damaged.has(appendNumber)).length,
      lostEvents: Math.max(0, ...lostEvents),
    }
  }

  /** The streams of a topic, or those of a group (0: of the topic itself), around what is kept in them. */
  #streamsOf({ topicNumber, partitions }: TopicRow, groupNumber: number): StreamRow[] {
    const rows: StreamRow[] = []
    for (let partition = 0; partition < partitions; partition++) {
      for (const lane of lanes) {
        const stream = streamNumber(groupNumber === 0 ? topicNumber : groupNumber, partition, lane)
        const empty = { nextOffset: 0, nextByte: 0, trimmedBelow: 0, trimmedByte: 0, dueKept: 0 }
        const row = this.#old.streams.get(stream) ?? { stream, topicNumber, partition, lane, groupNumber, ...empty }
        const kept = this.#keepFitting(row)
        this.#kept.set(stream, kept)
        rows.push(streamAround(row, kept))
      }
    }
    return rows
  }

  /** Removes damaged entries that overlap others or lie beyond the end of the stream, and returns the rest. */
  #keepFitting(row: StreamRow): readonly KeptEntry[] {
    const isKnown = row.nextOffset > 0
    const kept: KeptEntry[] = []
    for (const entry of this.#walk.all(row.stream) as unknown as KeptEntry[]) {
      const last = kept.at(-1)
      const overlaps = last !== undefined && last.firstOffset + last.count > entry.firstOffset
      const isBeyond = isKnown && entry.firstOffset + entry.count > row.nextOffset
      if (this.#damaged.has(entry.appendNumber) && (overlaps || isBeyond)) {
        this.#remove.run(entry.appendNumber)
        continue
      }
      // The previous entry is the damaged one, because sound entries never overlap.
      if (overlaps) this.#remove.run(kept.pop()!.appendNumber)
      kept.push(entry)
    }
    return kept
  }

  /** Writes a group's cursors, due entries and ledgers, and returns the number of events known to be missing. */
  #writeGroup({ groupNumber, topicNumber }: GroupRow, streamOf: ReadonlyMap<number, StreamRow>): number {
    const { partitions } = this.#old.topics.find((topic) => topic.topicNumber === topicNumber)!
    let missing = 0
    for (let partition = 0; partition < partitions; partition++) {
      const sums = { accepted: 0, waitingEvents: 0, waitingBytes: 0 }
      for (const lane of lanes) {
        const stream = streamOf.get(streamNumber(topicNumber, partition, lane))!
        const own = streamOf.get(streamNumber(groupNumber, partition, lane))!
        missing += this.#writeCursor(groupNumber, stream, sums) + this.#writeDue(own, sums)
      }
      const old = this.#old.ledgers.get(`${groupNumber}/${partition}`)
      this.#books.ledgers.save(balancedLedger({ groupNumber, partition }, old, sums))
    }
    return missing
  }

  #writeCursor(groupNumber: number, stream: StreamRow, sums: Sums): number {
    const { stream: number, nextOffset, trimmedBelow } = stream
    const place = { startOffset: trimmedBelow, settledBelow: trimmedBelow, handedOutBelow: trimmedBelow }
    const none = { rangesAhead: 0, attemptsKept: 0 }
    const old = this.#old.cursors.get(`${groupNumber}/${number}`)
    const cursor = { groupNumber, stream: number, ...place, ...old, ...none }
    const condition = 'group_number = ? AND stream = ?'
    const ranges = this.#old.books?.settledRanges.loadReadable(condition, groupNumber, number) ?? []
    for (const range of ranges) {
      if (range.firstOffset === cursor.settledBelow) cursor.settledBelow = range.endOffset
    }
    const ahead = ranges.filter((row) => row.firstOffset > cursor.settledBelow && row.endOffset <= nextOffset)
    for (const range of ahead) this.#books.settledRanges.save(range)
    const isSettled = settledAmong(cursor.settledBelow, ahead)
    const waiting = this.#kept.get(number)!.filter(({ firstOffset }) => !isSettled(firstOffset))
    const offsets = new Set(waiting.map(({ firstOffset }) => firstOffset))
    const attempts =
      old === undefined ? [] : (this.#old.books?.attempts.loadReadable(condition, groupNumber, number) ?? [])
    const kept = attempts.filter((row) => offsets.has(row.firstOffset) && row.firstOffset < cursor.handedOutBelow)
    for (const row of kept) this.#books.attempts.save(row)
    this.#books.cursors.save({ ...cursor, rangesAhead: ahead.length, attemptsKept: kept.length })
    const settledAhead = ahead.reduce((sum, row) => sum + row.endOffset - row.firstOffset, 0)
    const unsettled = nextOffset - cursor.settledBelow - settledAhead
    sums.accepted += nextOffset - cursor.startOffset
    sums.waitingEvents += unsettled
    sums.waitingBytes += waiting.reduce((sum, { byteLength }) => sum + byteLength, 0)
    return unsettled - waiting.reduce((sum, { count }) => sum + count, 0)
  }

  /** Everything in a group's own stream is unsettled, because settled entries leave it. */
  #writeDue(own: StreamRow, sums: Sums): number {
    const { stream } = own
    const old = new Map(this.#old.due.get(stream)?.map((row) => [row.firstOffset, row]))
    for (const { firstOffset, count, attempt, dueAtMs, byteLength } of this.#kept.get(stream)!) {
      const known = old.get(firstOffset)
      old.delete(firstOffset)
      const row = {
        stream,
        firstOffset,
        dueAtMs: Math.max(0, dueAtMs),
        eventCount: count,
        attempt: Math.max(0, attempt),
        // The key is lost with the row: the entry has no order any more.
        ...{ eventKey: '', originOffset: -1 },
      }
      this.#books.due.save(known ?? row)
      sums.waitingEvents += known?.eventCount ?? count
      sums.waitingBytes += byteLength
      own.dueKept++
    }
    return Array.from(old.values(), ({ eventCount }) => eventCount).reduce((sum, count) => sum + count, 0)
  }
}

interface Sums {
  accepted: number
  waitingEvents: number
  waitingBytes: number
}

/** @param ahead in offset order; it is asked for offsets in that order too. */
function settledAmong(
  settledBelow: number,
  ahead: readonly { readonly firstOffset: number; readonly endOffset: number }[],
): (offset: number) => boolean {
  let at = 0
  return (offset) => {
    while (at < ahead.length && ahead[at]!.endOffset <= offset) at++
    return offset < settledBelow || (ahead[at]?.firstOffset ?? Number.POSITIVE_INFINITY) <= offset
  }
}

function isPlausible({ firstOffset, count }: ScannedEntry): boolean {
  const isCount = Number.isInteger(count) && count >= 1 && count <= maxPlausibleCount
  return isCount && Number.isSafeInteger(firstOffset) && firstOffset >= 0
}

/** Inserts an entry with its original checksum, so that a damaged entry stays recognisable. */
function insertAsItIs(insert: StatementSync, entry: ScannedEntry): void {
  const { appendNumber, stream, firstOffset, count, startByte, receivedAtMicros, crc, bytes } = entry
  const orNull = (value: number) => (value < 0 ? null : value)
  const redelivery = [orNull(entry.attempt), orNull(entry.dueAtMs), orNull(entry.originOffset)] as const
  insert.run(appendNumber, stream, firstOffset, count, startByte, receivedAtMicros, ...redelivery, crc, bytes)
}

/** The row of the stream, extended so that it contains all kept entries. */
function streamAround(row: StreamRow, kept: readonly KeptEntry[]): StreamRow {
  const first = kept[0]
  const last = kept.at(-1)
  if (first === undefined || last === undefined) {
    return { ...row, trimmedBelow: row.nextOffset, trimmedByte: row.nextByte, dueKept: 0 }
  }
  const isOwn = row.groupNumber !== 0
  return {
    ...row,
    nextOffset: Math.max(row.nextOffset, last.firstOffset + last.count),
    nextByte: Math.max(row.nextByte, last.startByte + last.byteLength),
    // A group's own stream is not trimmed.
    trimmedBelow: isOwn ? 0 : first.firstOffset,
    trimmedByte: isOwn ? 0 : first.startByte,
    dueKept: 0,
  }
}

function balancedLedger(
  key: Pick<LedgerRow, 'groupNumber' | 'partition'>,
  old: LedgerRow | undefined,
  { accepted, waitingEvents, waitingBytes }: Sums,
): LedgerRow {
  const none = { reopened: 0, landed: 0, dead: 0, lost: 0, skipped: 0 }
  const ledger = { ...none, ...old, ...key, waitingEvents, waitingBytes }
  const excess = waitingEvents + ledger.landed + ledger.dead + ledger.lost - accepted - ledger.reopened
  if (excess >= 0) return { ...ledger, reopened: ledger.reopened + excess }
  return old === undefined ? { ...ledger, landed: -excess } : { ...ledger, lost: ledger.lost - excess }
}
