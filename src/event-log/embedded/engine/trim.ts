// Removes settled entries from the front of a topic's streams and requests whose time to live has ended, a bounded number
// in each transaction, and returns free pages of the file to the file system when there are many.

import type { StatementSync } from 'node:sqlite'
import { lanes } from '../../../event/event.ts'
import type { RetentionPolicy, Trimmed } from '../../event-log.ts'
import type { StreamRow } from '../file/books.ts'
import { pragma } from '../file/log-database.ts'
import { sqlFile } from '../file/sql-file.ts'
import { streamNumber } from '../file/stream-number.ts'
import type { TrimCall } from '../protocol.ts'
import { findTopic } from './find.ts'
import type { LogWriter } from './log-writer.ts'
import { Operation } from './operation.ts'
import type { UnitOfWork } from './unit-of-work.ts'

/** Max entries, and max bytes except for the first entry, that one transaction removes. */
const maxEntriesPerStep = 1000
const maxBytesPerStep = 4 * 1024 * 1024

/** Requests that one transaction removes. Each has a reply of up to a megabyte. */
const maxRequestsPerStep = 50

/** Streams without anything to remove that one transaction looks at. */
const maxStreamsPerStep = 300

/**
 * Free pages are reused by later appends. They are returned only when they reach this number and share of the file, or
 * when the disk is short of space.
 */
const freePagesWorthGiving = 4096
const freeShareWorthGiving = 0.25
const pagesGivenPerStep = 64

interface Candidate {
  readonly firstOffset: number
  readonly count: number
  readonly startByte: number
  readonly receivedAtMicros: number
  readonly byteLength: number
}

interface Step extends Trimmed {
  readonly hasMore: boolean
}

const nothing: Step = { entries: 0, events: 0, bytes: 0, hasMore: false }

/** The statements of trimming. */
export class Trimmer {
  readonly #writer: LogWriter
  readonly #candidates: StatementSync
  readonly #startByteFrom: StatementSync
  readonly #trim: StatementSync

  constructor(writer: LogWriter) {
    const { database } = writer
    this.#writer = writer
    this.#candidates = database.prepare(sqlFile('trim-candidates'))
    this.#startByteFrom = database.prepare(sqlFile('start-byte-from'))
    this.#trim = database.prepare(sqlFile('trim-entries'))
  }

  /** Trims a stream up to the offset below which every group has settled it. */
  step(work: UnitOfWork, stream: StreamRow, settledBelow: number, policy: RetentionPolicy): Step {
    if (settledBelow <= stream.trimmedBelow) return nothing
    const first = this.#startByteFrom.get(stream.stream, settledBelow) as { startByte: number } | undefined
    const settledByte = first?.startByte ?? stream.nextByte
    const step = { entries: 0, events: 0, bytes: 0, hasMore: false }
    const rows = this.#candidates.all(stream.stream, settledBelow, maxEntriesPerStep + 1)
    for (const row of rows as unknown as Candidate[]) {
      const endOffset = row.firstOffset + row.count
      const isYoung = row.receivedAtMicros >= policy.keepSinceMs * 1000
      // An entry whose damaged count reaches beyond the cursor is kept: how much of it is settled is unknown.
      if ((isYoung && settledByte - row.startByte <= policy.maxBytes) || endOffset > settledBelow) break
      step.hasMore = step.entries === maxEntriesPerStep || (step.entries > 0 && step.bytes > maxBytesPerStep)
      if (step.hasMore) break
      step.entries++
      step.events += row.count
      step.bytes += row.byteLength
      stream.trimmedBelow = endOffset
      stream.trimmedByte = row.startByte + row.byteLength
    }
    if (step.entries === 0) return nothing
    this.#trim.run(stream.stream, stream.trimmedBelow)
    work.streams.change(stream)
    return step
  }

  /**
   * Returns free pages to the file system: some with each trim while there are many, so that commits are not slowed, and
   * all of them while the disk is short of space.
   * @returns whether to go on at once.
   */
  giveBackSpace(work: UnitOfWork, hasTrimmed: boolean): boolean {
    const { database, isShortOfSpace } = this.#writer
    const free = pragma(database, 'freelist_count')
    const isMuch = free >= freePagesWorthGiving && free >= pragma(database, 'page_count') * freeShareWorthGiving
    if (isShortOfSpace ? free < pagesGivenPerStep : !(hasTrimmed && isMuch)) return false
    // Uses exec, because as a prepared statement the pragma frees one page only.
    database.exec(`PRAGMA incremental_vacuum(${pagesGivenPerStep})`)
    work.written()
    return isShortOfSpace
  }
}

/** One step of a trim. Answers what it removed, and where to go on: the number of streams that are done. */
export class TrimOperation extends Operation<Step & { readonly done: number }> {
  readonly #trimmer: Trimmer
  readonly #call: TrimCall
  readonly #from: number
  #step: Step & { readonly done: number } = { ...nothing, done: 0 }

  /** @param from how many of the topic's streams are done. */
  constructor(trimmer: Trimmer, call: TrimCall, from: number) {
    super()
    this.#trimmer = trimmer
    this.#call = call
    this.#from = from
  }

  run(work: UnitOfWork): void {
    const { policy, nowMs } = this.#call
    const topic = findTopic(work, this.#call.topic)
    const groups = work.groupsOf(topic.topicNumber)
    const all = groups.length === 0 ? 0 : topic.partitions * lanes.length
    let at = this.#from
    let step = nothing
    for (; at < all && at < this.#from + maxStreamsPerStep && step.entries === 0; at++) {
      const stream = work.streams.get(streamNumber(topic.topicNumber, 0, 'high') + at)!
      const cursors = groups.map(({ groupNumber }) => work.cursors.get(groupNumber, stream.stream)!)
      const settledBelow = Math.min(...cursors.map((cursor) => cursor.settledBelow))
      step = this.#trimmer.step(work, stream, settledBelow, policy)
      if (step.hasMore) break
    }
    const isExpired = 'topic_number = ? AND expires_at_ms <= ?'
    const requests = work.books.requests.removeSome(isExpired, maxRequestsPerStep, topic.topicNumber, nowMs)
    if (requests > 0) work.written()
    const givesMore = this.#trimmer.giveBackSpace(work, step.entries + requests > 0)
    this.#step = { ...step, done: at, hasMore: at < all || requests === maxRequestsPerStep || givesMore }
  }

  committed(): void {
    this.resolve(this.#step)
  }
}
