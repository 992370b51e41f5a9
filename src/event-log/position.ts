// Where a record batch is in the log. Part of the log's contract (event-log.ts).

import type { Lane } from '../event/event.ts'
import type { RecordBatch } from '../event/record-batch.ts'

export interface StreamName {
  readonly topic: string
  /** 0 .. partitions - 1. */
  readonly partition: number
  readonly lane: Lane
}

/** The place of a record batch in the log. Positions are comparable within one stream and epoch only. */
export interface Position {
  readonly stream: StreamName
  /** A new epoch begins when the log has lost acknowledged entries. Offsets of different epochs are not comparable. */
  readonly epoch: number
  /** The offset of the batch's first event. */
  readonly offset: number
}

/** An entry that the log still keeps, with the position of its first event. */
export interface KeptEntry {
  readonly position: Position
  readonly batch: RecordBatch
}
