// The calls of the proxy to the engine, and the answers. All are plain data, with flat arrays of numbers where there are
// many.

import type { ErrorCode, MillraceErrorOptions } from '../../errors.ts'
import type { Lane } from '../../event/event.ts'
import type { DatabaseThread } from '../../lib/sqlite/database-thread.ts'
import type {
  CommitStats,
  DescribeOptions,
  Flow,
  HeldKey,
  LogDescription,
  NextOptions,
  ReadSettledOptions,
  RetentionPolicy,
  StreamName,
  TopicDeclaration,
  Trimmed,
} from '../event-log.ts'
import type { ReplyToStore, RequestRegistration, StoredRequest } from '../replies.ts'
import type { CursorFound, CursorPlace, TailGap, TopicCursor } from '../tail.ts'

/** The start data of the thread. */
export interface LogThreadData {
  readonly dataDir: string
  readonly diskReserveBytes: number
  /** Max bytes of the newest entries that the proxy keeps. */
  readonly maxRecentBytes: number
}

/** An error that a caller of the log is to get. */
export interface Refusal {
  readonly refused: ErrorCode
  readonly message: string
  readonly options: MillraceErrorOptions
}

export type Answer<T> = T | Refusal

export interface Opened {
  readonly epoch: number
  readonly lastAppendNumber: number
}

/** Encoded batches, their bytes in one buffer that moves to the other thread. */
export interface PackedBatches {
  readonly bytes: Uint8Array<ArrayBuffer>
  /** `batchFields` for each batch. */
  readonly batches: Float64Array
}

/** Where its bytes begin, how many they are, number of events, time of receipt in microseconds. */
export const batchFields = 4

/** The appends of one turn of the proxy. */
export interface AppendsCall extends PackedBatches {
  /** `appendFields` for each append, in the order of the calls. */
  readonly appends: Float64Array
  readonly streams: readonly StreamName[]
  readonly producers: readonly string[]
  readonly registrations: readonly RequestRegistration[]
  /** The caller's clock. */
  readonly nowMs: number
}

/**
 * Index of the stream, number of batches, how many refusals of the stream the proxy has delivered, max waiting events
 * and bytes (-1: no limit), index, epoch and sequence of the producer (-1: none), index of the registration (-1: none).
 */
export const appendFields = 9

export const appended = -1
export const duplicate = -2

export interface AppendsAnswer {
  /** Returned for the entries that stay in the proxy's cache. */
  readonly bytes: Uint8Array<ArrayBuffer>
  /** For each append: `appended`, `duplicate`, or the index of its refusal. */
  readonly outcomes: Float64Array
  /** For each batch its offset; meaningful where it was appended. */
  readonly offsets: Float64Array
  readonly refusals: readonly Refusal[]
  /** For each stream the number of refusals at which its appends are admitted again. */
  readonly generations: Float64Array
  /** `storedFields` for each entry. */
  readonly entries: Float64Array
  readonly stats: CommitStats
}

/** Append number, start and length of its bytes, number of groups that may take it soon. */
export const storedFields = 4

export interface NextCall {
  readonly consumer: number
  /** Identifies the call, to abort it. */
  readonly call: number
  readonly maxEvents: NextOptions['maxEvents']
  readonly maxBytes: number
  readonly maxWaitMs: number
  /** The oldest append number in the proxy's cache: of it and the newer ones, the bytes need not be sent. */
  readonly cachedFrom: number
  /** The caller's clock less that of the machine. */
  readonly skewMs: number
}

export interface Deliveries {
  /** `deliveryFields` for each delivery. */
  readonly deliveries: Float64Array
  /** The bytes of those that have a length, one after the other; null when none has. */
  readonly bytes: Uint8Array<ArrayBuffer> | null
}

/**
 * Lease, partition, index of the lane, offset, number of events, time of receipt, attempt, append number, length of the
 * bytes (-1: not sent), 1 when the entry is damaged, 1 when it is suspect, 1 when it was returned with a key, 1 when it is a first lease.
 */
export const deliveryFields = 13

/** The outcomes of one call of `Consumer.settle`. */
export interface SettleCall {
  readonly consumer: number
  /** Lease, landed, dead, number of batches to be redelivered of each outcome. */
  readonly outcomes: Float64Array
  /** The batches to be redelivered, with `againFields` of each; null when there are none. */
  readonly again: (PackedBatches & { readonly numbers: Float64Array; readonly keys: readonly string[] }) | null
  /** By the index of their outcome. */
  readonly replies: ReadonlyMap<number, ReplyToStore>
  /** The caller's clock. */
  readonly nowMs: number
}

export interface SettleAnswer {
  /** Indexes of the outcomes that were refused. */
  readonly notHeld: readonly number[]
  /** Indexes of the outcomes whose reply was stored. */
  readonly replied: readonly number[]
}

export const outcomeFields = 4

/** Attempt, due time, 1 when it is suspect, offset (-1: that of the delivery). The keys are '' where there is none. */
export const againFields = 4

export interface ReopenCall extends PackedBatches {
  readonly stream: StreamName
  readonly group: string
  /** Attempt and offset of each batch. */
  readonly again: Float64Array
}

export interface DescribeCall extends DescribeOptions {
  /** The caller's clock less that of the machine. */
  readonly skewMs: number
}

export interface KeptEntries {
  /** `keptFields` for each entry. */
  readonly entries: Float64Array
  readonly bytes: Uint8Array<ArrayBuffer>
}

/** Offset, number of events, time of receipt, length of the bytes, 1 when the entry is damaged. */
export const keptFields = 5

export interface SettledEntries extends KeptEntries {
  readonly nextOffset: number | null
}

export interface CursorCall {
  readonly topic: string
  readonly place: CursorPlace
}

export interface TailCall {
  readonly topic: string
  readonly from: TopicCursor
  /** Identifies the call, to abort it. */
  readonly call: number
  readonly maxBytes: number
  readonly maxWaitMs: number
}

export interface TailEntries extends KeptEntries {
  /** For each entry the index of its stream in the cursor. */
  readonly streams: readonly number[]
  readonly cursor: TopicCursor
  readonly gap: TailGap | null
}

/** The bytes of entries, one after the other. */
export interface EntryBytes {
  readonly bytes: Uint8Array<ArrayBuffer>
  /** Length of the bytes, 1 when the entry is damaged; for each entry. */
  readonly entries: Float64Array
}

export interface GroupName {
  readonly topic: string
  readonly group: string
}

export interface ReleaseCall {
  readonly stream: StreamName
  readonly group: string
  readonly key: string
  readonly attempt: number | null
}

export interface FindRequestCall extends GroupName {
  readonly id: string
  /** The caller's clock. */
  readonly nowMs: number
}

export interface TrimCall {
  readonly topic: string
  readonly policy: RetentionPolicy
  /** The caller's clock. */
  readonly nowMs: number
}

/** The methods of the log's thread. */
export type LogThreadMethods = {
  /** Answers the format version where it is not ours. */
  open(argument: null): Opened | { readonly otherFormat: number }
  declare(call: { readonly topic: string; readonly declaration: TopicDeclaration }): Promise<Answer<null>>
  append(call: AppendsCall): Promise<AppendsAnswer>
  reopen(call: ReopenCall): Promise<Answer<null>>
  setFlow(call: GroupName & { readonly flow: Flow | null }): Promise<Answer<null>>
  drop(call: GroupName): Promise<Answer<number>>
  /** Answers the number of the consumer. */
  join(call: GroupName): Promise<Answer<number>>
  next(call: NextCall): Promise<Answer<Deliveries>>
  /** Ends a call of `next` or `tail`, which is then answered with nothing unless it has been answered. */
  abort(call: number): null
  settle(call: SettleCall): Promise<Answer<SettleAnswer>>
  /** Returns leases of a consumer to its group. */
  giveBack(call: { readonly consumer: number; readonly leases: readonly number[] }): Promise<null>
  /** Returns all leases of a consumer, which exists no longer. */
  leave(consumer: number): Promise<null>
  /** Append number and number of events of each entry. */
  bytes(entries: readonly number[]): Promise<EntryBytes>
  readSettled(
    call: ReadSettledOptions & { readonly stream: StreamName; readonly group: string },
  ): Promise<Answer<SettledEntries>>
  cursorAt(call: CursorCall): Promise<Answer<CursorFound>>
  /** Waits for entries. */
  tail(call: TailCall): Promise<Answer<TailEntries>>
  /** Answers whether the key's first entry is due now. */
  release(call: ReleaseCall): Promise<Answer<boolean>>
  heldKeys(call: { readonly stream: StreamName; readonly group: string }): Promise<Answer<readonly HeldKey[]>>
  hasConsumers(name: GroupName): boolean
  topics(argument: null): Promise<Answer<readonly string[]>>
  /** Refuses a topic that is not declared. */
  findTopic(topic: string): Promise<Answer<null>>
  findRequest(call: FindRequestCall): Promise<Answer<StoredRequest | null>>
  describe(call: DescribeCall): Promise<LogDescription>
  trim(call: TrimCall): Promise<Answer<Trimmed>>
  /** Whether that many new bytes would be stored. */
  hasRoom(newBytes: number): boolean
  /** Finishes what was called before. */
  close(argument: null): Promise<null>
}

/** The proxy's handle of the log's thread. */
export type LogThread = DatabaseThread<LogThreadMethods>

export function isRefusal(answer: unknown): answer is Refusal {
  return typeof answer === 'object' && answer !== null && 'refused' in answer
}

/** One value for each lane. */
export type PerLane<T> = Readonly<Record<Lane, T>>
