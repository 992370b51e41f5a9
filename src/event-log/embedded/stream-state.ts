// The main thread's state of one stream, as of the last commit. Additions of the transaction that is being planned are
// in `plan` and take effect when that transaction is durable.

import type { MillraceError } from '../../errors.ts'
import type { StreamName } from '../event-log.ts'
import type { StreamRow } from './log-rows.ts'
import type { Producer } from './producers.ts'
import { StreamTail } from './recent-entries.ts'
import type { StoredEntry } from './stored-entry.ts'

/** What the planned transaction adds to a stream. */
export interface StreamPlan {
  nextOffset: number
  nextByte: number
  readonly entries: StoredEntry[]
}

export class StreamState {
  readonly number: number
  readonly name: StreamName
  readonly #topicNumber: number
  readonly #groupNumber: number
  nextOffset: number
  nextByte: number
  trimmedBelow: number
  trimmedByte: number
  plan: StreamPlan | null = null
  readonly tail = new StreamTail()
  /** Set while appends are refused because the caller of an earlier refused append cannot know of its refusal yet. */
  refusal: MillraceError | null = null
  /** Producers by id. */
  readonly producers = new Map<string, Producer>()

  constructor(topic: string, row: StreamRow) {
    this.number = row.stream
    this.name = Object.freeze({ topic, partition: row.partition, lane: row.lane })
    this.#topicNumber = row.topicNumber
    this.#groupNumber = row.groupNumber
    this.nextOffset = row.nextOffset
    this.nextByte = row.nextByte
    this.trimmedBelow = row.trimmedBelow
    this.trimmedByte = row.trimmedByte
  }

  /** Returns the plan; a new one starts at the end of the stream. */
  ensurePlan(): StreamPlan {
    this.plan ??= { nextOffset: this.nextOffset, nextByte: this.nextByte, entries: [] }
    return this.plan
  }

  /** Removes the last entry of the plan. */
  dropPlanned(last: StoredEntry): void {
    const plan = this.ensurePlan()
    plan.entries.pop()
    plan.nextOffset = last.firstOffset
    plan.nextByte = last.startByte
    if (plan.entries.length === 0) this.plan = null
  }

  /** The row, with the plan applied if there is one. */
  row(): StreamRow {
    return {
      stream: this.number,
      topicNumber: this.#topicNumber,
      partition: this.name.partition,
      lane: this.name.lane,
      groupNumber: this.#groupNumber,
      nextOffset: this.plan?.nextOffset ?? this.nextOffset,
      nextByte: this.plan?.nextByte ?? this.nextByte,
      trimmedBelow: this.trimmedBelow,
      trimmedByte: this.trimmedByte,
    }
  }
}
