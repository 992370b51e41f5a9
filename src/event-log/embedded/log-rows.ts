// The rows in which the log keeps its books: where each stream ends, what each group has settled, how its ledger stands.
//
// Each row carries a CRC-32 of its values, because a database page has none: of 300 flipped bits in such rows 223
// changed them without a word. Rows that could vanish unseen are counted in another row (`rangesAhead`, `groups` ...).

import { crc32 } from 'node:zlib'
import type { Lane } from '../../event/event.ts'

/** The one row about the log as a whole. */
export interface LogRow {
  readonly epoch: number
  /** Entries are numbered in the order in which they are stored; a number is never used again. */
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

/** A group that hands out nothing. A row that is lost lets the group go on, which loses nothing. */
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
  /** How many bytes were ever stored in it. */
  readonly nextByte: number
  readonly trimmedBelow: number
  /** How many bytes were stored in it before `trimmedBelow`. */
  readonly trimmedByte: number
}

/** Where a group stands in a stream. */
export interface CursorRow {
  readonly groupNumber: number
  readonly stream: number
  /** Where the stream's oldest kept entry was when the group was made: what it accepted is counted from here. */
  readonly startOffset: number
  /** Everything below is settled. */
  readonly settledBelow: number
  /** Everything below has been handed out at least once. */
  readonly handedOutBelow: number
  /** How many rows it has in `settled_ahead`. */
  readonly rangesAhead: number
  /** How many rows it has in `attempts`. */
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

/** What a group has settled beyond `settledBelow`. */
export interface SettledRangeRow {
  readonly groupNumber: number
  readonly stream: number
  readonly firstOffset: number
  readonly endOffset: number
}

/** How often an unsettled entry has been tried, where that does not follow from the cursor and the entry. */
export interface AttemptRow {
  readonly groupNumber: number
  readonly stream: number
  readonly firstOffset: number
  readonly attempt: number
}

/** A producer in one stream. */
export interface ProducerRow {
  readonly producerNumber: number
  readonly stream: number
  readonly name: string
  readonly lastSequence: number
  /** The bits of its ProducerWindow. */
  readonly stored: Uint8Array
  /** The append number when it was last used. */
  readonly usedAt: number
}

export type ColumnValue = number | string | Uint8Array

/** The CRC-32 that a row of this table with these values carries. */
export function rowChecksum(table: string, values: readonly ColumnValue[]): number {
  let text = table
  for (const value of values) text += `\0${value instanceof Uint8Array ? crc32(value) : value}`
  return crc32(Buffer.from(text))
}
