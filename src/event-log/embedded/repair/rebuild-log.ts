// Builds a new log.db from what could be read of a damaged one.
//
// Entries keep their append numbers and offsets. Each group begins at the place that its cursor names, or where that
// cannot be read at the oldest kept entry: then it gets events again that it has settled, which landing tolerates. A
// ledger that does not add up is made to: events that are handed out again are added to `reopened`, settled events that
// no ledger counts to `landed`. Missing events wait until the group comes to their place; there they are counted as lost.
// Requests are copied up to the first that cannot be read; the others, and those that do not match, are unknown then.

import type { DatabaseSync, StatementSync } from 'node:sqlite'
import { lanes } from '../../../event/event.ts'
import { Checkpointer } from '../../../lib/sqlite/checkpointer.ts'
import { openDatabase, truncateWal } from '../../../lib/sqlite/open-database.ts'
import { dueAtOnce, never } from '../../event-log.ts'
import {
  Books,
  type CursorRow,
  type DueRow,
  type GroupRow,
  type LedgerRow,
  type StreamRow,
  type TopicRow,
} from '../file/books.ts'
import type { StoredEntry } from '../file/entry-checksum.ts'
import { EntryTable } from '../file/entry-table.ts'
import { createLogSchema, newLogRow } from '../file/log-database.ts'
import { logPageBytes } from '../file/log-format.ts'
import type { Mark } from '../file/log-mark.ts'
import { sqlFile } from '../file/sql-file.ts'
import { maxPartitions, ownerOf, partitionOf, streamNumber } from '../file/stream-number.ts'
import { scanEntries } from './entry-scan.ts'

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

type StreamPlace = Pick<StreamRow, 'topicNumber' | 'groupNumber' | 'partition' | 'lane'>

/** What a group's ledger of one partition must say, and how many of its waiting events have no entry. */
interface Sums {
  accepted: number
  waitingEvents: number
  waitingBytes: number
  missing: number
}

/**
 * Writes what can be read of the old database to a new one at `path`, where no file may exist, then flushes and closes
 * it.
 * @param next the epoch that begins, and the last append number that the log has reached.
 */
export function rebuildLog(path: string, source: DatabaseSync, next: Mark): RebuiltLog {
  const file = { path, exclusive: true, busyTimeoutMs: 0, mayCreate: true, pageBytes: logPageBytes }
  const { database } = openDatabase(file)
  try {
    createLogSchema(database, path, newLogRow(next.epoch, next.appendNumber))
    const rebuilding = new Rebuilding(database, path, new Books(source, path))
    rebuilding.copyEntries(scanEntries(source, next.appendNumber))
    rebuilding.copyRequests()
    const rebuilt = rebuilding.writeBooks()
    truncateWal(database)
    return rebuilt
  } finally {
    database.close()
  }
}

class Rebuilding {
  readonly #database: DatabaseSync
  readonly #path: string
  readonly #old: Books
  readonly #books: Books
  readonly #entries: EntryTable
  readonly #walk: StatementSync
  readonly #topics: readonly TopicRow[]
  readonly #groups: readonly GroupRow[]
  /** How many partitions each topic has, and each group, whose numbers differ from theirs. */
  readonly #partitionsOf = new Map<number, number>()
  /** The readable ones, by stream. */
  readonly #cursors: ReadonlyMap<number, readonly CursorRow[]>
  /** Append numbers of entries that do not match their checksum. */
  readonly #damaged = new Set<number>()
  readonly #missing = new Map<GroupRow, number>()
  readonly #totals = { entries: 0, events: 0, damagedEntries: 0 }

  constructor(database: DatabaseSync, path: string, old: Books) {
    this.#database = database
    this.#path = path
    this.#old = old
    this.#books = new Books(database, path)
    this.#entries = new EntryTable(database, path)
    this.#walk = database.prepare(sqlFile('walk-stream'))
    this.#topics = readTopics(old)
    for (const { topicNumber, partitions } of this.#topics) this.#partitionsOf.set(topicNumber, partitions)
    this.#groups = readGroups(old, this.#partitionsOf)
    for (const row of this.#groups) this.#partitionsOf.set(row.groupNumber, this.#partitionsOf.get(row.topicNumber)!)
    this.#cursors = Map.groupBy(old.cursors.loadReadable(), ({ stream }) => stream)
  }

  copyEntries(entries: Iterable<StoredEntry>): void {
    this.#copy(entries, (entry) => {
      const [appendNumber, stream, firstOffset, count] = entry.fields as [number, number, number, number]
      if (!this.#isKnown(stream) || (entry.damaged && !isPlausible(firstOffset, count))) return 0
      if (entry.damaged) this.#damaged.add(appendNumber)
      this.#entries.insertAsItIs(entry)
      return entry.bytes.length
    })
  }

  copyRequests(): void {
    this.#copy(readable(this.#old.requests.walk()), (row) => {
      if (row === null || !this.#partitionsOf.has(row.topicNumber)) return 0
      this.#books.requests.save(row)
      return row.reply.length
    })
  }

  /** @param copyOne returns how many bytes it has written, about. */
  #copy<T>(rows: Iterable<T>, copyOne: (row: T) => number): void {
    const checkpointer = new Checkpointer(this.#database, this.#path)
    let bytes = 0
    this.#database.exec('BEGIN')
    for (const row of rows) {
      bytes += copyOne(row)
      if (bytes < bytesPerTransaction) continue
      this.#database.exec('COMMIT')
      checkpointer.afterCommit(bytes)
      this.#database.exec('BEGIN')
      bytes = 0
    }
    this.#database.exec('COMMIT')
  }

  writeBooks(): RebuiltLog {
    this.#database.exec('BEGIN')
    for (const topic of this.#topics) {
      this.#books.topics.save(topic)
      for (let partition = 0; partition < topic.partitions; partition++) this.#writePartition(topic, partition)
    }
    for (const row of this.#groups) this.#books.groups.save(row)
    const producers = this.#old.producers.loadReadable().filter(({ stream }) => this.#isKnown(stream))
    for (const row of producers) this.#books.producers.save(row)
    const lastNumber = this.#old.log.loadReadable()[0]?.lastNumber ?? 0
    this.#books.log.save({
      ...this.#books.log.get(1)!,
      lastNumber: Math.max(lastNumber, ...this.#partitionsOf.keys()),
      ...{ topics: this.#topics.length, groups: this.#groups.length, producers: producers.length },
    })
    this.#database.exec('COMMIT')
    return { ...this.#totals, lostEvents: Math.max(0, ...this.#missing.values()) }
  }

  /** Whether a topic or group that is kept has the stream. */
  #isKnown(stream: number): boolean {
    return partitionOf(stream) < (this.#partitionsOf.get(ownerOf(stream)) ?? 0)
  }

  #writePartition({ topicNumber }: TopicRow, partition: number): void {
    const streams = lanes.map((lane) => {
      const cursors = this.#cursors.get(streamNumber(topicNumber, partition, lane)) ?? []
      const reached = cursors.reduce((end, row) => Math.max(end, row.settledBelow, row.handedOutBelow), 0)
      const [stream, kept] = this.#streamOf({ topicNumber, groupNumber: 0, partition, lane }, reached)
      this.#books.streams.save(stream)
      return [stream, kept] as const
    })
    for (const group of this.#groups.filter((row) => row.topicNumber === topicNumber)) {
      const { groupNumber } = group
      const sums: Sums = { accepted: 0, waitingEvents: 0, waitingBytes: 0, missing: 0 }
      for (const [stream, kept] of streams) this.#writeCursor(groupNumber, stream, kept, sums)
      for (const lane of lanes) this.#writeDue({ topicNumber, groupNumber, partition, lane }, sums)
      const key = { groupNumber, partition }
      const [old] = this.#old.ledgers.loadReadable('group_number = ? AND partition = ?', groupNumber, partition)
      this.#books.ledgers.save(balancedLedger(key, old, sums))
      this.#missing.set(group, (this.#missing.get(group) ?? 0) + sums.missing)
    }
  }

  /**
   * The row of a stream of a topic (group 0) or group, and the entries that are kept in it.
   * @param reached the offset that it had reached, as other rows say.
   */
  #streamOf(place: StreamPlace, reached: number): [StreamRow, readonly KeptEntry[]] {
    const { groupNumber, topicNumber, partition, lane } = place
    const stream = streamNumber(groupNumber === 0 ? topicNumber : groupNumber, partition, lane)
    const empty = { nextOffset: 0, nextByte: 0, trimmedBelow: 0, trimmedByte: 0, dueKept: 0 }
    const [old] = this.#old.streams.loadReadable('stream = ?', stream)
    const kept = this.#keepFitting(stream, old?.nextOffset ?? Number.POSITIVE_INFINITY)
    const [first, last] = [kept[0], kept.at(-1)]
    const row = { stream, ...place, ...empty, ...old, dueKept: 0 }
    row.nextOffset = Math.max(row.nextOffset, reached, last === undefined ? 0 : last.firstOffset + last.count)
    row.nextByte = Math.max(row.nextByte, last === undefined ? 0 : last.startByte + last.byteLength)
    // A group's own stream is not trimmed.
    row.trimmedBelow = groupNumber !== 0 ? 0 : (first?.firstOffset ?? row.nextOffset)
    row.trimmedByte = groupNumber !== 0 ? 0 : (first?.startByte ?? row.nextByte)
    this.#totals.entries += kept.length
    this.#totals.events += kept.reduce((sum, { count }) => sum + count, 0)
    this.#totals.damagedEntries += kept.filter(({ appendNumber }) => this.#damaged.has(appendNumber)).length
    return [row, kept]
  }

  /** Removes damaged entries that overlap others or lie beyond the end of the stream, and returns the rest. */
  #keepFitting(stream: number, end: number): readonly KeptEntry[] {
    const kept: KeptEntry[] = []
    for (const entry of this.#walk.all(stream) as unknown as KeptEntry[]) {
      const last = kept.at(-1)
      const overlaps = last !== undefined && last.firstOffset + last.count > entry.firstOffset
      if (this.#damaged.has(entry.appendNumber) && (overlaps || entry.firstOffset + entry.count > end)) {
        this.#entries.remove(entry.appendNumber)
        continue
      }
      // The previous entry is the damaged one, because sound entries never overlap.
      if (overlaps) this.#entries.remove(kept.pop()!.appendNumber)
      kept.push(entry)
    }
    return kept
  }

  /** Writes how far a group is in a stream of its topic: as its cursor says, else at the oldest kept entry. */
  #writeCursor(groupNumber: number, row: StreamRow, kept: readonly KeptEntry[], sums: Sums): void {
    const { stream, nextOffset, trimmedBelow } = row
    const old = this.#cursors.get(stream)?.find((cursor) => cursor.groupNumber === groupNumber)
    const ofCursor = ['group_number = ? AND stream = ?', groupNumber, stream] as const
    const ranges = old === undefined ? [] : this.#old.settledRanges.loadReadable(...ofCursor)
    const ahead = ranges.filter(({ endOffset }) => endOffset <= nextOffset)
    const attempts = old === undefined ? [] : this.#old.attempts.loadReadable(...ofCursor)
    const start = { startOffset: trimmedBelow, settledBelow: trimmedBelow, handedOutBelow: trimmedBelow }
    const rows = { rangesAhead: ahead.length, attemptsKept: attempts.length }
    const cursor = { groupNumber, stream, ...start, ...old, ...rows }
    this.#books.cursors.save(cursor)
    for (const range of ahead) this.#books.settledRanges.save(range)
    for (const attempt of attempts) this.#books.attempts.save(attempt)
    sums.accepted += nextOffset - cursor.startOffset
    let from = cursor.settledBelow
    let at = 0
    for (const settled of [...ahead, { firstOffset: nextOffset, endOffset: nextOffset }]) {
      sums.waitingEvents += settled.firstOffset - from
      sums.missing += settled.firstOffset - from
      for (; at < kept.length && kept[at]!.firstOffset < settled.firstOffset; at++) {
        const { firstOffset, count, byteLength } = kept[at]!
        if (firstOffset < from) continue
        sums.missing -= count
        sums.waitingBytes += byteLength
      }
      from = settled.endOffset
    }
  }

  /**
   * Writes a group's own stream with its rows in `due`. Each kept entry has one, because settled entries leave the stream;
   * a row without an entry is counted as lost when it is due.
   */
  #writeDue(place: StreamPlace, sums: Sums): void {
    const number = streamNumber(place.groupNumber, place.partition, place.lane)
    const rows = this.#old.due.loadReadable('stream = ?', number)
    const reached = rows.reduce((end, { firstOffset, eventCount }) => Math.max(end, firstOffset + eventCount), 0)
    const [own, kept] = this.#streamOf(place, reached)
    const missing = new Map(rows.map((row) => [row.firstOffset, row.eventCount]))
    for (const { firstOffset, count, attempt, dueAtMs, byteLength } of kept) {
      sums.waitingBytes += byteLength
      if (missing.delete(firstOffset)) continue
      // The key is lost with the row: the entry has no order any more, and nobody can release it.
      const due = dueAtMs >= never ? dueAtOnce : Math.max(0, dueAtMs)
      const numbers = { dueAtMs: due, eventCount: count, attempt: Math.max(0, attempt) }
      rows.push({ stream: number, firstOffset, ...numbers, eventKey: '', originOffset: -1 })
    }
    endHolds(rows, kept)
    for (const row of rows) this.#books.due.save(row)
    this.#books.streams.save({ ...own, dueKept: rows.length })
    sums.waitingEvents += rows.reduce((sum, { eventCount }) => sum + eventCount, 0)
    sums.missing += Array.from(missing.values()).reduce((sum, count) => sum + count, 0)
  }
}

/** Ends where a row cannot be read. */
function* readable<T>(rows: Iterable<T>): Generator<T> {
  try {
    yield* rows
  } catch {}
}

/** A topic whose row is damaged keeps the name that is there: without it, all its events would be lost. */
function readTopics(old: Books): TopicRow[] {
  const partitionsOf = new Map<number, number>()
  for (const { topicNumber, partition } of old.streams.loadReadable()) {
    partitionsOf.set(topicNumber, Math.max(partition + 1, partitionsOf.get(topicNumber) ?? 0))
  }
  return old.topics.loadUnchecked().flatMap(({ topicNumber, name, partitions }) => {
    const found = partitionsOf.get(topicNumber) ?? partitions
    const isPlausible = Number.isSafeInteger(topicNumber) && name !== '' && found >= 1 && found <= maxPartitions
    return isPlausible ? [{ topicNumber, name, partitions: found }] : []
  })
}

/** A group whose row is damaged keeps the name that is there: without it, its retries would be lost. */
function readGroups(old: Books, topics: ReadonlyMap<number, unknown>): GroupRow[] {
  return old.groups.loadUnchecked().flatMap(({ state, ...row }) => {
    const isKept = topics.has(row.topicNumber) && row.name !== '' && state !== 'dropped' && row.groupNumber > 0
    const hasFlow = state === 'paused' || (state === 'limited' && Number(row.reason) > 0)
    return isKept ? [{ ...row, state: hasFlow ? state : 'running' }] : []
  })
}

/**
 * The first row of a key that was held behind a lost one is due when its entry says, which is never for one that waits
 * for a release.
 */
function endHolds(rows: readonly DueRow[], kept: readonly KeptEntry[]): void {
  const dueAtMs = new Map(kept.map((entry) => [entry.firstOffset, Math.min(Math.max(0, entry.dueAtMs), never)]))
  const inOrder = rows.toSorted((a, b) => a.originOffset - b.originOffset || a.firstOffset - b.firstOffset)
  const seen = new Set([''])
  for (const row of inOrder) {
    if (row.dueAtMs === never && !seen.has(row.eventKey)) row.dueAtMs = dueAtMs.get(row.firstOffset) ?? dueAtOnce
    seen.add(row.eventKey)
  }
}

function isPlausible(firstOffset: number, count: number): boolean {
  const isCount = Number.isInteger(count) && count >= 1 && count <= maxPlausibleCount
  return isCount && Number.isSafeInteger(firstOffset) && firstOffset >= 0
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
