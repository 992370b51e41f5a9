// The requests of the main thread to the database thread, and the replies. All are plain data, with flat arrays of
// numbers where there are many.

import type { DatabaseThread } from '../../lib/sqlite/database-thread.ts'
import type {
  AttemptRow,
  CursorRow,
  GroupRow,
  LedgerRow,
  LogRow,
  PauseRow,
  ProducerRow,
  SettledRangeRow,
  StreamRow,
  TopicRow,
} from './log-rows.ts'

/** The start data of the thread. */
export interface LogThreadData {
  readonly dataDir: string
  readonly diskReserveBytes: number
}

/** An unsettled entry of a group's own stream. */
export interface OwnEntry {
  readonly stream: number
  readonly firstOffset: number
  readonly count: number
  readonly dueAtMs: number
}

/** The state that the main thread needs when a log is opened. */
export interface LogSnapshot {
  readonly log: LogRow
  readonly topics: readonly TopicRow[]
  readonly groups: readonly GroupRow[]
  readonly pauses: readonly PauseRow[]
  readonly streams: readonly StreamRow[]
  readonly cursors: readonly CursorRow[]
  readonly ledgers: readonly LedgerRow[]
  readonly settledRanges: readonly SettledRangeRow[]
  readonly attempts: readonly AttemptRow[]
  /** Least recently used first. */
  readonly producers: readonly ProducerRow[]
  readonly ownEntries: readonly OwnEntry[]
  /** Ranges that are missing from the groups' own streams. */
  readonly missing: readonly UnsettledStretch[]
}

/** The snapshot, or the format version of another version's log. */
export type OpenReply = { readonly snapshot: LogSnapshot } | { readonly otherFormat: number }

/** The number of numbers per entry in `CommitRequest.entries`. */
export const entryFields = 10

/**
 * The numbers of an entry, in this order: append number, stream, first offset, event count, start byte, received at,
 * attempt, due at, origin offset (the last three -1 in a stream of the topic), and the length of its bytes.
 */
export type EntryNumbers = Float64Array

/** Removes a bounded number of entries from the front of one stream. */
export interface TrimStep {
  readonly stream: StreamRow
  /** Every offset below is settled by all groups. */
  readonly settledBelow: number
  readonly keepSinceMicros: number
  readonly maxBytes: number
}

export interface TrimStepReply {
  readonly entries: number
  readonly events: number
  readonly bytes: number
  readonly trimmedBelow: number
  readonly trimmedByte: number
  /** Whether another step may find more. */
  readonly more: boolean
}

/** One transaction. */
export interface CommitRequest {
  /** The concatenated bytes of the entries. The buffer is transferred to the thread and back. */
  readonly bytes: Uint8Array<ArrayBuffer>
  readonly entries: EntryNumbers
  /** How many of the bytes may be refused when the disk is full: those of appends and reopenings. */
  readonly refusableBytes: number
  readonly log: LogRow | null
  readonly topics: readonly TopicRow[]
  readonly groups: readonly GroupRow[]
  readonly streams: readonly StreamRow[]
  readonly cursors: readonly CursorRow[]
  readonly ledgers: readonly LedgerRow[]
  readonly settledRanges: readonly SettledRangeRow[]
  /** Group number, stream and first offset of each. */
  readonly removedRanges: readonly number[]
  readonly attempts: readonly AttemptRow[]
  /** Group number, stream and first offset of each. */
  readonly removedAttempts: readonly number[]
  /** Stream and first offset of each settled entry of a group's own stream. */
  readonly removedEntries: readonly number[]
  readonly producers: readonly ProducerRow[]
  readonly removedProducers: readonly number[]
  readonly pauses: readonly PauseRow[]
  /** Group numbers. */
  readonly endedPauses: readonly number[]
  /** The number of a group of which everything is removed; its rows are in none of the lists. */
  readonly droppedGroup: number | null
  readonly trim: TrimStep | null
}

/** A transaction that does nothing. */
export function emptyRequest(): CommitRequest {
  return {
    bytes: new Uint8Array(0),
    entries: new Float64Array(0),
    refusableBytes: 0,
    log: null,
    topics: [],
    groups: [],
    streams: [],
    cursors: [],
    ledgers: [],
    settledRanges: [],
    removedRanges: [],
    attempts: [],
    removedAttempts: [],
    removedEntries: [],
    producers: [],
    removedProducers: [],
    pauses: [],
    endedPauses: [],
    droppedGroup: null,
    trim: null,
  }
}

export interface CommitReply {
  /** False when there is no disk space for the refusable bytes: nothing was written at all. */
  readonly committed: boolean
  readonly bytes: Uint8Array<ArrayBuffer>
  readonly trimmed: TrimStepReply | null
}

export interface EntryStartRequest {
  readonly stream: number
  readonly offset: number
}

export interface ReadPageRequest {
  readonly stream: number
  readonly from: number
  /** The end of the range (excluded). */
  readonly to: number
  readonly maxBytes: number
}

export interface ReadEntriesRequest {
  readonly stream: number
  readonly offsets: readonly number[]
  readonly maxBytes: number
}

/** The number of numbers per entry in `EntriesRead.entries`. */
export const readFields = 9

export interface EntriesRead {
  /**
   * For each entry: first offset, event count, start byte, received at, attempt, due at, origin offset (the last three
   * -1 in a stream of the topic), length of its bytes, and 1 when it is damaged.
   */
  readonly entries: Float64Array
  readonly bytes: ArrayBuffer
  /**
   * readPage: the reply has everything in the file up to this offset (excluded). readEntries: the number of offsets
   * read.
   */
  readonly through: number
}

/** A range of a stream that a group has not settled. */
export interface UnsettledStretch {
  readonly groupNumber: number
  readonly stream: number
  readonly from: number
  readonly to: number
}

/** The durable state, read in one step. */
export interface DurableFacts {
  readonly log: LogRow
  readonly streams: readonly StreamRow[]
  readonly cursors: readonly CursorRow[]
  readonly ledgers: readonly LedgerRow[]
  /** Group number → microseconds since 1970; no entry when nothing waits. */
  readonly oldestWaitingMicros: ReadonlyMap<number, number>
  /** Group number → events found by walking its own streams. */
  readonly auditedOwnEvents: ReadonlyMap<number, number>
  /** Ranges still to be walked, in the streams of the topics. */
  readonly toAudit: readonly UnsettledStretch[]
}

export interface AuditRequest {
  readonly stretches: readonly UnsettledStretch[]
  /** Max entries to examine in this call. */
  readonly maxEntries: number
}

export interface AuditReply {
  /** Group number → events found. */
  readonly events: ReadonlyMap<number, number>
  /** Ranges still to be walked. */
  readonly rest: readonly UnsettledStretch[]
}

/** The methods of the database thread. */
export type LogThreadMethods = {
  open(argument: null): OpenReply
  commit(request: CommitRequest): CommitReply
  /** Whether a commit with this many new bytes would be accepted. */
  hasRoom(newBytes: number): boolean
  /** The first offset of the entry that contains the offset; the offset itself when none does. */
  entryStart(request: EntryStartRequest): number
  readPage(request: ReadPageRequest): EntriesRead
  readEntries(request: ReadEntriesRequest): EntriesRead
  describe(argument: null): DurableFacts
  audit(request: AuditRequest): AuditReply
  close(argument: null): null
}

/** The main thread's handle of the database thread. */
export type LogThread = DatabaseThread<LogThreadMethods>
