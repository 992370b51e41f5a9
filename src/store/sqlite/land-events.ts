// Lands the entries of one call: one transaction, one row for each event that has none.
//
// New events are inserted in groups, one statement per group. If SQLite rejects a group, its rows are inserted one by
// one, which shows the events that already have a row and the poison events.
// Not its job: what a failure means for the caller (sqlite-store.ts), when the WAL is checkpointed (store-thread.ts).

import type { DatabaseSync } from 'node:sqlite'
import { priorityOfLane } from '../../event/event.ts'
import { EventReader } from '../../event/record-batch.ts'
import { toSqliteFailure } from '../../lib/sqlite/failure.ts'
import type { EventPlace, LandedCounts, PoisonEvent } from '../event-store.ts'
import { type EntryColumns, EventRow } from './event-row.ts'
import { EventRowReader } from './event-row-reader.ts'
import { EventInserter, GroupSkipped, groupRows } from './insert-event.ts'
import { LandedStreams } from './landed-streams.ts'
import { LandingBlocks } from './landing-blocks.ts'
import type { LandingMessage } from './landing-message.ts'

export class EventLander {
  readonly #database: DatabaseSync
  readonly #inserter: EventInserter
  readonly #streams: LandedStreams
  readonly #blocks: LandingBlocks
  readonly #reader = new EventReader()
  readonly #rowReader = new EventRowReader()
  readonly #rows = Array.from({ length: groupRows }, () => new EventRow())
  /** How many of `#rows` are read and not yet stored. */
  #waitingRows = 0
  /** Whether to try a group insert. Duplicates come as whole entries, and among them every group insert would fail. */
  #expectFresh = true
  /** False once a trigger has skipped a row of a group. */
  #usesGroups = true
  #landed = 0
  #duplicates = 0
  #conflicts: EventPlace[] = []
  #poison: PoisonEvent[] = []

  constructor(database: DatabaseSync) {
    this.#database = database
    this.#inserter = new EventInserter(database)
    this.#streams = new LandedStreams(database)
    this.#blocks = new LandingBlocks(database)
  }

  /** Commits the whole message, or throws and lands nothing. Must run inside the flush latch. */
  land(message: LandingMessage): LandedCounts {
    try {
      return this.#landOnce(message)
    } catch (thrown) {
      if (!(thrown instanceof GroupSkipped)) throw thrown
      this.#usesGroups = false
      return this.#landOnce(message)
    }
  }

  #landOnce(message: LandingMessage): LandedCounts {
    this.#waitingRows = 0
    this.#landed = this.#duplicates = 0
    this.#conflicts = []
    this.#poison = []
    this.#database.exec('BEGIN IMMEDIATE')
    try {
      this.#landEntries(message)
      this.#database.exec('COMMIT')
    } catch (thrown) {
      this.#streams.forget()
      this.#blocks.forget()
      // After a full disk or a failed write SQLite has already rolled back.
      if (this.#database.isTransaction) this.#database.exec('ROLLBACK')
      throw thrown
    }
    return { landed: this.#landed, duplicates: this.#duplicates, conflicts: this.#conflicts, poison: this.#poison }
  }

  #landEntries(message: LandingMessage): void {
    const numbers = message.streams.map((stream) => this.#streams.numberOf(stream))
    const nextOffsets = new Float64Array(numbers.length)
    let byteOffset = 0
    for (let entry = 0; entry < message.lengths.length; entry++) {
      const bytes = Buffer.from(message.buffer, byteOffset, message.lengths[entry])
      byteOffset += bytes.length
      const streamIndex = message.streamIndexes[entry]!
      const { topic, lane } = message.streams[streamIndex]!
      const logOffset = message.logOffsets[entry]!
      const count = this.#landBatch(bytes, {
        entry,
        receivedAtMicros: message.receivedAtMicros[entry]!,
        topic,
        priority: priorityOfLane[lane],
        stream: numbers[streamIndex]!,
        logOffset,
      })
      if (count !== message.counts[entry]) {
        throw new Error(`entry ${entry} has ${count} events; expected ${message.counts[entry]}`)
      }
      nextOffsets[streamIndex] = Math.max(nextOffsets[streamIndex]!, logOffset + count)
    }
    this.#storeWaitingRows()
    for (let index = 0; index < numbers.length; index++) this.#streams.advance(numbers[index]!, nextOffsets[index]!)
    this.#blocks.save()
  }

  /** Returns the number of events in the batch. */
  #landBatch(bytes: Buffer, shared: EntryColumns): number {
    const reader = this.#reader.reset(bytes)
    let index = 0
    for (; reader.next(); index++) {
      const row = this.#rows[this.#waitingRows]!
      try {
        this.#rowReader.read(row, bytes, reader.fields, shared, index)
      } catch (thrown) {
        this.#addPoison(row, thrown)
        continue
      }
      if (++this.#waitingRows === groupRows) this.#storeWaitingRows()
    }
    return index
  }

  #storeWaitingRows(): void {
    const count = this.#waitingRows
    this.#waitingRows = 0
    const asGroup = count === groupRows && this.#expectFresh && this.#usesGroups
    if (asGroup && this.#inserter.insertGroup(this.#rows)) {
      const firstRowid = this.#inserter.lastRowid - (count - 1)
      for (let index = 0; index < count; index++) this.#countLanded(this.#rows[index]!, firstRowid + index)
      return
    }
    const landedBefore = this.#landed
    for (let index = 0; index < count; index++) this.#storeRow(this.#rows[index]!)
    this.#expectFresh = this.#landed > landedBefore
  }

  #storeRow(row: EventRow): void {
    try {
      const outcome = this.#inserter.insert(row)
      if (outcome === 'landed') {
        this.#countLanded(row, this.#inserter.lastRowid)
      } else {
        this.#duplicates++
        if (outcome === 'conflict') this.#conflicts.push({ entry: row.entry, index: row.index })
      }
    } catch (thrown) {
      this.#addPoison(row, thrown)
    }
  }

  #countLanded(row: EventRow, rowid: number): void {
    this.#landed++
    this.#blocks.add(rowid, row.receivedAtMicros)
  }

  /** Counts the row as poison if the failure is about it alone; rethrows any other failure. */
  #addPoison({ entry, index }: EventRow, thrown: unknown): void {
    const failure = toSqliteFailure(thrown)
    if (failure.kind !== 'row') throw failure
    this.#poison.push({ entry, index, databaseCode: String(failure.errcode), message: failure.message })
  }
}
