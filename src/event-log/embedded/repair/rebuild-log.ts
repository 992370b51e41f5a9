// Builds a new log.db from what could be read of a damaged one.
//
// Entries keep their append numbers and offsets. Missing events are counted as lost for each group. A ledger that cannot
// be recovered is made to balance: events that will be handed out again after they were already counted are added to
// `reopened`, settled events that no ledger counts are added to `landed`.

import type { DatabaseSync, StatementSync } from 'node:sqlite'
import { Checkpointer } from '../../lib/sqlite/checkpointer.ts'
import { openDatabase, truncateWal } from '../../lib/sqlite/open-database.ts'
import { Books } from './books.ts'
import { cursorKey, groupByCursor } from './cursor-rows.ts'
import type { ScannedEntry } from './entry-scan.ts'
import { createLogSchema } from './log-database.ts'
import { logPageBytes } from './log-format.ts'
import type { CursorRow, LedgerRow, LogRow, StreamRow } from './log-rows.ts'
import { completeStreams, type SalvagedBooks } from './salvage-books.ts'
import { type KeptEntry, type SalvagedCursor, salvageCursor } from './salvage-cursor.ts'
import { sqlFile } from './sql-file.ts'

export interface RebuiltLog {
  readonly entries: number
  readonly events: number
  /** How many of the entries have damaged bytes. They are handed out with `batch.damaged` set. */
  readonly damagedEntries: number
  /** Events known to be missing, for the group with the most missing events. */
  readonly lostEvents: number
}

/** The largest event count of a damaged entry that is accepted as plausible. */
const maxPlausibleCount = 1_000_000

/** About how many bytes one transaction writes. */
const bytesPerTransaction = 8 * 1024 * 1024

interface WalkedEntry extends KeptEntry {
  readonly appendNumber: number
  readonly startByte: number
}

/** Writes the new database to `path`, where no file may exist, then flushes and closes it. */
export function rebuildLog(
  path: string,
  books: SalvagedBooks,
  entries: Iterable<ScannedEntry>,
  next: { readonly epoch: number; readonly lastAppendNumber: number },
): RebuiltLog {
  const { database } = openDatabase({
    path,
    exclusive: true,
    busyTimeoutMs: 0,
    mayCreate: true,
    pageBytes: logPageBytes,
  })
  try {
    const empty: LogRow = { ...next, topics: 0, groups: 0, producers: 0 }
    createLogSchema(database, path, empty)
    const rebuilding = new Rebuilding(database, path, books)
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
  readonly #old: SalvagedBooks
  readonly #books: Books
  readonly #walk: StatementSync
  /** Append numbers of entries that do not match their checksum. */
  readonly #damaged = new Set<number>()
  readonly #streamsInUse = new Set<number>()

  constructor(database: DatabaseSync, path: string, old: SalvagedBooks) {
    this.#database = database
    this.#path = path
    this.#old = old
    this.#books = new Books(database, path)
    this.#walk = database.prepare(sqlFile('walk-stream'))
  }

  copyEntries(entries: Iterable<ScannedEntry>): void {
    const insert = this.#database.prepare(sqlFile('insert-entry'))
    const checkpointer = new Checkpointer(this.#database, this.#path)
    let bytes = 0
    this.#database.exec('BEGIN')
    for (const entry of entries) {
      if (!entry.isSound && !isPlausible(entry)) continue
      if (entry.isSound) this.#streamsInUse.add(entry.stream)
      else this.#damaged.add(entry.appendNumber)
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
    const { topics, groups, pauses, producers } = this.#old
    this.#database.exec('BEGIN')
    const streams: StreamRow[] = []
    const keptOf = new Map<number, readonly WalkedEntry[]>()
    for (const row of completeStreams(this.#old, this.#streamsInUse)) {
      const kept = this.#keepFitting(row)
      keptOf.set(row.stream, kept)
      streams.push(streamAround(row, kept))
    }
    this.#removeOrphaned(streams)
    for (const row of topics) this.#books.topics.save(row)
    for (const row of groups) this.#books.groups.save(row)
    for (const row of pauses) this.#books.pauses.save(row)
    for (const row of streams) this.#books.streams.save(row)
    const lostEvents = groups.map(({ groupNumber }) => this.#writeGroup(groupNumber, streams, keptOf))
    const streamNumbers = new Set(streams.map((row) => row.stream))
    const keptProducers = producers.filter((row) => streamNumbers.has(row.stream))
    for (const row of keptProducers) this.#books.producers.save(row)
    this.#books.log.save({
      ...empty,
      topics: topics.length,
      groups: groups.length,
      producers: keptProducers.length,
    })
    this.#database.exec('COMMIT')
    const all = [...keptOf.values()].flat()
    return {
      entries: all.length,
      events: all.reduce((sum, { count }) => sum + count, 0),
      damagedEntries: all.filter(({ appendNumber }) => this.#damaged.has(appendNumber)).length,
      lostEvents: Math.max(0, ...lostEvents),
    }
  }

  /** Removes damaged entries that overlap others or lie beyond the end of the stream, and returns the rest. */
  #keepFitting(row: StreamRow): readonly WalkedEntry[] {
    const remove = this.#database.prepare(sqlFile('remove-numbered-entry'))
    const walked = this.#walk.all(row.stream) as unknown as WalkedEntry[]
    const isKnown = row.nextOffset > 0
    const kept: WalkedEntry[] = []
    for (const entry of walked) {
      const last = kept[kept.length - 1]
      const end = entry.firstOffset + entry.count
      const isDamaged = this.#damaged.has(entry.appendNumber)
      const overlaps = last !== undefined && last.firstOffset + last.count > entry.firstOffset
      if (isDamaged && (overlaps || (isKnown && end > row.nextOffset))) {
        remove.run(entry.appendNumber)
        continue
      }
      if (overlaps) {
        // The previous entry is the damaged one, because sound entries never overlap.
        remove.run(last.appendNumber)
        kept.pop()
      }
      kept.push(entry)
    }
    return kept
  }

  #removeOrphaned(streams: readonly StreamRow[]): void {
    this.#database.prepare(sqlFile('remove-orphaned-entries')).run(JSON.stringify(streams.map((row) => row.stream)))
  }

  /** Writes a group's cursors and ledgers, and returns the number of events that it lost. */
  #writeGroup(
    groupNumber: number,
    streams: readonly StreamRow[],
    keptOf: ReadonlyMap<number, readonly WalkedEntry[]>,
  ): number {
    const rangesOf = groupByCursor(this.#old.settledRanges)
    const attemptsOf = groupByCursor(this.#old.attempts)
    const topicNumber = this.#old.groups.find((row) => row.groupNumber === groupNumber)!.topicNumber
    const own = streams.filter(
      (row) => row.topicNumber === topicNumber && (row.groupNumber === 0 || row.groupNumber === groupNumber),
    )
    let lost = 0
    for (const partition of new Set(own.map((row) => row.partition))) {
      const parts = own
        .filter((row) => row.partition === partition)
        .map((stream) => {
          const key = cursorKey({ groupNumber, stream: stream.stream })
          const old = this.#old.cursors.find((row) => row.groupNumber === groupNumber && row.stream === stream.stream)
          const row = withinStream(old ?? newCursor(groupNumber, stream), stream)
          const remains = { row, ranges: rangesOf.get(key) ?? [], attempts: attemptsOf.get(key) ?? [] }
          const cursor = salvageCursor(remains, keptOf.get(stream.stream)!, stream.nextOffset)
          // Settled entries leave a group's own stream at once, so without its cursor the number of lost events is
          // unknown.
          const isUnknown = old === undefined && stream.groupNumber !== 0
          return { stream, cursor: isUnknown ? { ...cursor, lost: 0 } : cursor }
        })
      for (const { cursor } of parts) this.#saveCursor(cursor)
      const oldLedger = this.#old.ledgers.find((row) => row.groupNumber === groupNumber && row.partition === partition)
      this.#books.ledgers.save(balancedLedger({ groupNumber, partition }, oldLedger, parts))
      lost += parts.reduce((sum, { cursor }) => sum + cursor.lost, 0)
    }
    return lost
  }

  #saveCursor({ row, ranges, attempts }: SalvagedCursor): void {
    this.#books.cursors.save(row)
    for (const range of ranges) this.#books.settledRanges.save(range)
    for (const attempt of attempts) this.#books.attempts.save(attempt)
  }
}

function isPlausible({ firstOffset, count }: ScannedEntry): boolean {
  const isCount = Number.isInteger(count) && count >= 1 && count <= maxPlausibleCount
  return isCount && Number.isSafeInteger(firstOffset) && firstOffset >= 0
}

/** Inserts an entry with its original checksum, so that a damaged entry stays recognisable. */
function insertAsItIs(insert: StatementSync, entry: ScannedEntry): void {
  const { appendNumber, stream, firstOffset, count, startByte, receivedAtMicros, attempt, dueAtMs, originOffset } =
    entry
  const orNull = (value: number) => (value < 0 ? null : value)
  insert.run(
    appendNumber,
    stream,
    firstOffset,
    count,
    startByte,
    receivedAtMicros,
    orNull(attempt),
    orNull(dueAtMs),
    orNull(originOffset),
    entry.crc,
    entry.bytes,
  )
}

/** The row of the stream, extended so that it contains all kept entries. */
function streamAround(row: StreamRow, kept: readonly WalkedEntry[]): StreamRow {
  const first = kept[0]
  const last = kept[kept.length - 1]
  if (first === undefined || last === undefined) {
    return { ...row, trimmedBelow: row.nextOffset, trimmedByte: row.nextByte }
  }
  const isOwn = row.groupNumber !== 0
  return {
    ...row,
    nextOffset: Math.max(row.nextOffset, last.firstOffset + last.count),
    nextByte: Math.max(row.nextByte, last.startByte + last.byteLength),
    // A group's own stream is not trimmed.
    trimmedBelow: isOwn ? 0 : first.firstOffset,
    trimmedByte: isOwn ? 0 : first.startByte,
  }
}

/** A new cursor where the old one is lost: it starts at the oldest kept entry and counts no event as accepted. */
function newCursor(groupNumber: number, { stream, trimmedBelow, nextOffset }: StreamRow): CursorRow {
  const place = { startOffset: nextOffset, settledBelow: trimmedBelow, handedOutBelow: trimmedBelow }
  return { groupNumber, stream, ...place, rangesAhead: 0, attemptsKept: 0 }
}

function withinStream(row: CursorRow, { nextOffset }: StreamRow): CursorRow {
  const settledBelow = Math.min(row.settledBelow, nextOffset)
  return { ...row, settledBelow, startOffset: Math.min(row.startOffset, nextOffset) }
}

function balancedLedger(
  key: { readonly groupNumber: number; readonly partition: number },
  old: LedgerRow | undefined,
  parts: readonly { readonly stream: StreamRow; readonly cursor: SalvagedCursor }[],
): LedgerRow {
  const sum = (of: (part: (typeof parts)[number]) => number) => parts.reduce((total, part) => total + of(part), 0)
  const accepted = sum(({ stream, cursor }) =>
    stream.groupNumber === 0 ? stream.nextOffset - cursor.row.startOffset : 0,
  )
  const waitingEvents = sum(({ cursor }) => cursor.waitingEvents)
  const waitingBytes = sum(({ cursor }) => cursor.waitingBytes)
  const known = old ?? {
    ...key,
    reopened: 0,
    landed: 0,
    dead: 0,
    lost: 0,
    skipped: 0,
    waitingEvents: 0,
    waitingBytes: 0,
  }
  const lost = known.lost + sum(({ cursor }) => cursor.lost)
  const excess = waitingEvents + known.landed + known.dead + lost - accepted - known.reopened
  const ledger = { ...known, lost, waitingEvents, waitingBytes }
  if (excess >= 0) return { ...ledger, reopened: known.reopened + excess }
  return old === undefined ? { ...ledger, landed: -excess } : { ...ledger, lost: lost - excess }
}
