// The rows of the log's books (books.ts): the end of each stream, what each group has settled, and the groups' ledgers.
//
// Each row has a CRC-32 of its values, because a database page has no checksum: 223 of 300 flipped bits in such rows
// changed values without an error. Rows whose loss would go unnoticed are counted in another row (`rangesAhead`,
// `groups`).

import { crc32 } from 'node:zlib'
import type { Lane } from '../../event/event.ts'

/** The one row about the log as a whole. */
export interface LogRow {
  readonly epoch: number
  /** Entries are numbered in the order in which they are stored; a number is never reused. */
  readonly lastAppendNumber: number
  readonly topics: number
  readonly groups: number
  readonly producers: number
}

export interface TopicRow {
  readonly topicNumber: number
  readonly name: string
  readonly partitions: number
}

export interface GroupRow {
  readonly groupNumber: number
  readonly topicNumber: number
  readonly name: string
}

/** A paused group. If the row is lost, the group resumes, which loses no events. */
export interface PauseRow {
  readonly groupNumber: number
  readonly reason: string
}

export interface StreamRow {
  readonly stream: number
  readonly topicNumber: number
  readonly partition: number
  readonly lane: Lane
  /** The group whose own stream this is; 0 for a stream of the topic. */
  readonly groupNumber: number
  readonly nextOffset: number
  /** The number of bytes ever stored in it. */
  readonly nextByte: number
  readonly trimmedBelow: number
  /** The number of bytes stored in it before `trimmedBelow`. */
  readonly trimmedByte: number
}

/** A group's progress in a stream. */
export interface CursorRow {
  readonly groupNumber: number
  readonly stream: number
  /** The offset of the oldest kept entry when the group was created. The group's accepted events count from here. */
  readonly startOffset: number
  /** Every offset below is settled. */
  readonly settledBelow: number
  /** Every offset below has been handed out at least once. */
  readonly handedOutBelow: number
  /** The number of its rows in `settled_ahead`. */
  readonly rangesAhead: number
  /** The number of its rows in `attempts`. */
  readonly attemptsKept: number
}

export interface LedgerRow {
  readonly groupNumber: number
  readonly partition: number
  readonly reopened: number
  readonly landed: number
  readonly dead: number
  readonly lost: number
  readonly skipped: number
  readonly waitingEvents: number
  readonly waitingBytes: number
}

/** A range that a group has settled out of order, above `settledBelow`. */
export interface SettledRangeRow {
  readonly groupNumber: number
  readonly stream: number
  readonly firstOffset: number
  readonly endOffset: number
}

/** How many times an unsettled entry has been tried, where that does not follow from the cursor and the entry. */
export interface AttemptRow {
  readonly groupNumber: number
  readonly stream: number
  readonly firstOffset: number
  readonly attempt: number
}

/** A producer in one stream, in its highest epoch. */
export interface ProducerRow {
  readonly producerNumber: number
  readonly stream: number
  readonly name: string
  readonly epoch: number
  readonly lastSequence: number
  /** The bits of its ProducerWindow. */
  readonly stored: Uint8Array
  /** The append number when it was last used. */
  readonly usedAt: number
}

export type ColumnValue = number | string | Uint8Array

/** The columns with texts; the others have numbers, or bytes. */
export const textColumns: ReadonlySet<string> = new Set(['name', 'lane', 'reason'])

/** The CRC-32 of a row of this table with these values. It does not cover their types: 1 and '1' have the same. */
export function rowChecksum(table: string, values: readonly ColumnValue[]): number {
  let text = table
  for (const value of values) text += `\0${value instanceof Uint8Array ? crc32(value) : value}`
  return crc32(Buffer.from(text))
}
