// Describes the log from the file, in pieces between which commits run, and audits it: counts each group's unsettled
// events entry by entry, independently of the counters. A partition's ledger and its audit are read in one piece, so they
// must agree.

import type { DatabaseSync, StatementSync } from 'node:sqlite'
import { lanes } from '../../../event/event.ts'
import {
  type GroupDescription,
  type LogDescription,
  never,
  type StreamEnd,
  type TopicDescription,
} from '../../event-log.ts'
import { type CursorRow, flowOf, type GroupRow, type StreamRow, type TopicRow } from '../file/books.ts'
import type { OffsetRange } from '../file/entry-table.ts'
import { sqlFile } from '../file/sql-file.ts'
import { streamNumber } from '../file/stream-number.ts'
import type { DescribeCall } from '../protocol.ts'
import type { Session } from './session.ts'
import { type LogTables, UnitOfWork } from './unit-of-work.ts'

/** A group with more unsettled entries, or more settled ranges between them, is not audited: it would take too long. */
const maxAuditedEntries = 20_000
const maxAuditedRanges = 1000

/** A group with more entries that are due later is not asked for their events. */
const maxScheduledEntries = 20_000

/** Bounds of one piece: entries counted, and partitions looked at. */
const maxEntriesPerPiece = 20_000
const maxPartitionsPerPiece = 100

/** Settled ranges that are read at once. */
const rangesPerRead = 500

interface Counted {
  readonly entries: number
  readonly events: number
  readonly lastOffset: number
}

export class Describer {
  readonly #tables: LogTables
  readonly #session: Session
  readonly #audit: StatementSync
  readonly #oldest: StatementSync
  readonly #scheduled: StatementSync
  /** Entries that the running description may still count in this piece. */
  #piece = { entries: 0, partitions: 0 }
  #nowMs = 0

  constructor(database: DatabaseSync, tables: LogTables, session: Session) {
    this.#tables = tables
    this.#session = session
    this.#audit = database.prepare(sqlFile('audit-entries'))
    this.#oldest = database.prepare(sqlFile('oldest-waiting'))
    this.#scheduled = database.prepare(sqlFile('count-scheduled'))
  }

  /** Each step is a piece. */
  *describe(usedBytes: number | null, { auditsPaused = false, skewMs }: DescribeCall): Generator<void, LogDescription> {
    const { books } = this.#tables
    this.#nowMs = Date.now() + skewMs
    this.#piece = { entries: 0, partitions: 0 }
    const topics: TopicDescription[] = []
    for (const topic of books.topics.load()) topics.push(yield* this.#describeTopic(topic, auditsPaused))
    const { epoch } = books.log.get(1)!
    // The limit would be the free disk space less the reserve, but other programs use the same disk.
    return { driver: 'embedded', epoch, durability: 'disk', usedBytes, limitBytes: null, topics }
  }

  /** Counts all of a group's unsettled events that are in the file, however many there are. */
  countUnsettled(group: GroupRow, topic: TopicRow): number {
    const counter = new GroupCounter(null, null)
    for (let partition = 0; partition < topic.partitions; partition++) {
      const counting = this.#countPartition(new UnitOfWork(this.#tables), group, partition, counter)
      while (counting.next().done !== true);
    }
    return counter.events
  }

  *#describeTopic(topic: TopicRow, auditsPaused: boolean): Generator<void, TopicDescription> {
    const rows = new UnitOfWork(this.#tables).groupsOf(topic.topicNumber)
    const groups: GroupDescription[] = []
    for (const row of rows) {
      const isWhole = auditsPaused && row.state === 'paused'
      const counter = isWhole ? new GroupCounter(null, null) : new GroupCounter(maxAuditedEntries, maxAuditedRanges)
      const described = yield* this.#describeGroup(row, topic, counter)
      if (described !== null) groups.push(described)
    }
    const { name, partitions } = topic
    return { name, partitions, groups, streams: groups.length === 0 ? [] : this.#streamEnds(topic) }
  }

  /** Null when the group was dropped meanwhile. */
  *#describeGroup(
    row: GroupRow,
    { partitions }: TopicRow,
    counter: GroupCounter,
  ): Generator<void, GroupDescription | null> {
    const { groupNumber } = row
    for (let partition = 0; partition < partitions; partition++) {
      if (this.#isPieceOver()) yield
      const work = new UnitOfWork(this.#tables)
      if (work.group(groupNumber) === undefined) return null
      this.#countScheduled(work, groupNumber, partition, counter)
      yield* this.#countPartition(work, row, partition, counter)
      this.#piece.partitions++
    }
    const now = new UnitOfWork(this.#tables).group(groupNumber)!
    const { terms, oldestWaitingMicros, left, events, scheduled, scheduledLeft, held } = counter
    return {
      ...{ name: now.name, ordered: now.ordered === 1, ...terms, oldestWaitingMicros },
      inFlight: this.#session.groups.get(groupNumber)?.inFlightEvents ?? 0,
      scheduled: scheduledLeft < 0 ? null : scheduled,
      held,
      hasConsumers: this.#session.hasMembers(groupNumber),
      flow: flowOf(now),
      auditedWaiting: left < 0 ? null : events,
    }
  }

  #isPieceOver(): boolean {
    const { entries, partitions } = this.#piece
    if (entries < maxEntriesPerPiece && partitions < maxPartitionsPerPiece) return false
    this.#piece = { entries: 0, partitions: 0 }
    return true
  }

  /** Adds a partition to the counts of its group: in one piece, unless all of the group's entries are counted. */
  *#countPartition(work: UnitOfWork, group: GroupRow, partition: number, counter: GroupCounter): Generator<void, void> {
    const { groupNumber, topicNumber } = group
    for (const lane of lanes) {
      const stream = work.streams.get(streamNumber(topicNumber, partition, lane))!
      const cursor = work.cursors.get(groupNumber, stream.stream)!
      counter.terms.accepted += stream.nextOffset - cursor.startOffset
      if (cursor.settledBelow < stream.nextOffset) {
        counter.noteOldest(this.#oldestFrom(stream.stream, cursor.settledBelow))
        counter.passRanges(cursor.rangesAhead)
        yield* this.#auditStream(work, cursor, stream, counter)
      }
      const own = work.ownStream(groupNumber, partition, lane)
      if (own.dueKept === 0) continue
      counter.noteOldest(this.#oldestFrom(own.stream, 0))
      yield* this.#auditRange(own.stream, { start: 0, end: own.nextOffset }, counter)
    }
    counter.addLedger(work.ledgers.get(groupNumber, partition)!)
  }

  /** Counts what is held, and what is due later, up to the limit of the group. */
  #countScheduled(work: UnitOfWork, groupNumber: number, partition: number, counter: GroupCounter): void {
    for (const lane of lanes) {
      const { stream, dueKept } = work.ownStream(groupNumber, partition, lane)
      if (dueKept === 0) continue
      const held = work.books.due.count('stream = ? AND due_at_ms = ?', stream, never)
      counter.held += held
      this.#piece.entries += held
      if (counter.scheduledLeft < 0) continue
      const limit = counter.scheduledLeft + 1
      const found = this.#scheduled.get(stream, this.#nowMs, never, limit) as unknown as Pick<
        Counted,
        'entries' | 'events'
      >
      counter.scheduledLeft -= found.entries
      counter.scheduled += found.events
      this.#piece.entries += found.entries
    }
  }

  #oldestFrom(stream: number, offset: number): number | undefined {
    return (this.#oldest.get(stream, offset) as { receivedAtMicros: number } | undefined)?.receivedAtMicros
  }

  /** Counts what lies between and behind the settled ranges. */
  *#auditStream(
    work: UnitOfWork,
    cursor: CursorRow,
    { stream, nextOffset }: StreamRow,
    counter: GroupCounter,
  ): Generator<void, void> {
    let start = cursor.settledBelow
    for (let hasMore = cursor.rangesAhead > 0; hasMore && counter.left >= 0; ) {
      const ranges = work.books.settledRanges.select(
        `WHERE group_number = ? AND stream = ? AND first_offset >= ? ORDER BY first_offset LIMIT ${rangesPerRead}`,
        ...[cursor.groupNumber, stream, start],
      )
      for (const { firstOffset, endOffset } of ranges) {
        yield* this.#auditRange(stream, { start, end: firstOffset }, counter)
        start = endOffset
      }
      hasMore = ranges.length === rangesPerRead
    }
    yield* this.#auditRange(stream, { start, end: nextOffset }, counter)
  }

  *#auditRange(stream: number, { start, end }: OffsetRange, counter: GroupCounter): Generator<void, void> {
    for (let from = start; from < end && counter.left >= 0; ) {
      const limit = Math.min(counter.left, maxEntriesPerPiece) + 1
      const { entries, events, lastOffset } = this.#audit.get(stream, from, end, limit) as unknown as Counted
      // An empty range counts as an entry, because looking it up takes time too.
      counter.left -= Math.max(1, entries)
      counter.events += events
      this.#piece.entries += Math.max(1, entries)
      from = entries < limit ? end : lastOffset + 1
      if (counter.isWhole && this.#isPieceOver()) yield
    }
  }

  #streamEnds({ topicNumber, partitions }: TopicRow): StreamEnd[] {
    const { streams } = this.#tables.books
    const from = streamNumber(topicNumber, 0, 'high')
    return streams
      .select('WHERE stream >= ? AND stream < ? ORDER BY stream', from, from + partitions * lanes.length)
      .map(({ partition, lane, nextOffset }) => ({ partition, lane, nextOffset }))
  }
}

/** The terms of a group's ledger, how many of its unsettled events the audit has found, and how many are due later. */
class GroupCounter {
  readonly terms = { accepted: 0, reopened: 0, waiting: 0, landed: 0, dead: 0, lost: 0, skipped: 0 }
  oldestWaitingMicros: number | null = null
  events = 0
  /** How many entries may still be counted; negative when there are more. */
  left: number
  held = 0
  scheduled = 0
  /** How many entries that are due later may still be counted; negative when there are more. */
  scheduledLeft = maxScheduledEntries

  #rangesLeft: number

  /** Whether all entries are counted, however many there are. */
  readonly isWhole: boolean

  /** @param maxEntries null: all are counted. */
  constructor(maxEntries: number | null, maxRanges: number | null) {
    this.isWhole = maxEntries === null
    this.left = maxEntries ?? Number.POSITIVE_INFINITY
    this.#rangesLeft = maxRanges ?? Number.POSITIVE_INFINITY
  }

  passRanges(count: number): void {
    this.#rangesLeft -= count
    if (this.#rangesLeft < 0) this.left = -1
  }

  noteOldest(micros: number | undefined): void {
    if (micros === undefined) return
    this.oldestWaitingMicros = Math.min(micros, this.oldestWaitingMicros ?? micros)
  }

  addLedger(
    row: { readonly [term in 'reopened' | 'landed' | 'dead' | 'lost' | 'skipped' | 'waitingEvents']: number },
  ): void {
    const { terms } = this
    terms.reopened += row.reopened
    terms.waiting += row.waitingEvents
    terms.landed += row.landed
    terms.dead += row.dead
    terms.lost += row.lost
    terms.skipped += row.skipped
  }
}
