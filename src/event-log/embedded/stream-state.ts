// One stream as the main thread knows it. Its numbers are those of the last commit; what the group that is being made
// would add is in `plan`, and counts only when that group is durable.

import type { MillraceError } from '../../errors.ts'
import type { StreamName } from '../event-log.ts'
import type { StreamRow } from './log-rows.ts'
import type { Producer } from './producers.ts'
import { StreamTail } from './recent-entries.ts'
import type { StoredEntry } from './stored-entry.ts'

/** What a group of the group commit adds to a stream. */
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
  /** Why appends are refused that come before the caller of a refused one can know. */
  refusal: MillraceError | null = null
  /** By their id. */
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

  /** The plan, begun where the stream ends now. */
  ensurePlan(): StreamPlan {
    this.plan ??= { nextOffset: this.nextOffset, nextByte: this.nextByte, entries: [] }
    return this.plan
  }

  /** Takes the last entry of the plan out of it again. */
  dropPlanned(last: StoredEntry): void {
    const plan = this.ensurePlan()
    plan.entries.pop()
    plan.nextOffset = last.firstOffset
    plan.nextByte = last.startByte
    if (plan.entries.length === 0) this.plan = null
  }

  /** The row as it is, or will be when the plan is durable. */
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
