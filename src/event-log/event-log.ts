// The contract of the log: what every driver promises, in words that the conformance suite uses as its titles.
//
// A driver stores, hands out, remembers and forgets. Retry counts, backoff, dead letters, batch sizes and admission
// shares are the core's: nothing here decides them. test/conformance/event-log.suite.ts proves each sentence on every
// driver, on a log that is reopened, whose consumers die, whose time passes.
//
// The words: a topic is split in partitions, each with one stream per lane. An entry is a place in a stream that holds
// one record batch. Offsets count events: an entry of 100 events at offset 500 is followed by one at offset 600.

import type { Durability } from '../event/durability.ts'
import type { Lane } from '../event/event.ts'
import type { RecordBatch } from '../event/record-batch.ts'

/** What was made durable at one go for producers, and how long that took. */
export interface CommitStats {
  readonly durationMs: number
  readonly entries: number
  readonly bytes: number
}

/** Whether events can be taken, and what an answer is worth. */
export interface LogHealth {
  /** Why none can be taken now, for the operator; null when they can. */
  readonly problem: string | null
  /** What was detected of the log's own persistence. */
  readonly persistence: string
  /** True where the durability rests on the operator's word. */
  readonly isUnverified: boolean
}

export interface StreamName {
  readonly topic: string
  /** 0 .. partitions - 1. */
  readonly partition: number
  readonly lane: Lane
}

/** Where an event stands. Comparable inside one stream and epoch. */
export interface Position {
  readonly stream: StreamName
  /** Begins anew when the log lost entries that it had acknowledged; offsets of two epochs are not comparable. */
  readonly epoch: number
  /** The offset of the batch's first event. */
  readonly offset: number
}

export interface GroupDeclaration {
  readonly name: string
}

export interface TopicDeclaration {
  /** 1 .. 1024. */
  readonly partitions: number
  readonly groups: readonly GroupDeclaration[]
}

/** How much may wait in a partition, over its lanes together, when something is appended to one of them. */
export interface WaitingLimit {
  readonly maxEvents: number
  readonly maxBytes: number
}

export interface AppendOptions {
  /**
   * Refuses the append when a group's waiting events or bytes in the partition, these included, would be more than that;
   * where nothing waits any append is taken. Without it everything is admitted.
   */
  readonly maxWaiting?: WaitingLimit
  /**
   * The numbered message these batches come from. The log remembers for each producer and stream which of the last
   * `producerWindow` sequences it has stored. Of at least `maxProducers` that is remembered; the longest unused is forgotten
   * first.
   * What was refused is not remembered: sent again, it is appended.
   */
  readonly producer?: { readonly id: string; readonly sequence: number }
  readonly signal?: AbortSignal
}

/**
 * How many of a producer's latest sequences the log can recognise; an older one is refused as `out_of_range`. Twice what a
 * server reads ahead of its answers (api/), so that all that a cut leaves unanswered can be sent again.
 */
export const producerWindow = 8192

/**
 * How many pairs of producer and stream the log remembers at least. The bound is over all streams in a driver that has one
 * place for them, and of each partition in one that has not.
 */
export const maxProducers = 10_000

export interface Appended {
  /** One for each batch, in the same order; empty when this was a resend. */
  readonly positions: readonly Position[]
  /** True when the stream had this producer's sequence already and nothing was stored. */
  readonly duplicate: boolean
}

/**
 * Thrown as the `cause` of a `backlogged` error, so that the core can compute when to try again.
 * `settledEvents` counts all that the group has settled since the log was opened; two samples give its speed.
 */
export interface Backlog {
  readonly group: string
  readonly waitingEvents: number
  readonly waitingBytes: number
  readonly settledEvents: number
}

/** An entry handed out to one consumer. */
export interface Delivery {
  /** Names this handing out. Settling goes by it. */
  readonly id: string
  readonly position: Position
  readonly batch: RecordBatch
  /** How often the entry has been handed out, this time included: 1 for the first. */
  readonly attempt: number
}

/** What became of a delivery. `landed + dead + the events of again` is the number of events in the delivery. */
export interface Outcome {
  readonly delivery: Delivery
  readonly landed: number
  readonly dead: number
  /** What must come again to this group. */
  readonly again?: readonly Again[]
}

export interface Again {
  readonly batch: RecordBatch
  /** How often these events have been tried; they come back with one more. */
  readonly attempt: number
  /** Not before this time, in milliseconds since 1970. */
  readonly dueAtMs: number
}

/** What one call may reopen: one batch of any size, or so many of so many bytes together. */
export const maxReopenedBatches = 1000
export const maxReopenedBytes = 4 * 1024 * 1024

/** A batch that is given to one group again: redriven or replayed. */
export interface Reopened {
  readonly batch: RecordBatch
  /** How often these events have been tried; they come back with one more. */
  readonly attempt: number
  /** The offset, in the topic's stream, where the batch's first event once stood; its delivery's position names it. */
  readonly offset: number
}

export interface NextOptions {
  /**
   * The most events of each lane that this call hands out. A lane with 0 is left alone. Entries are whole: the first of
   * a lane is handed out even when it has more.
   */
  readonly maxEvents: Readonly<Record<Lane, number>>
  /** How long to wait for the first entry, in milliseconds. 0 answers at once. */
  readonly maxWaitMs: number
  readonly signal?: AbortSignal
}

/** One member of a group. Members compete: an entry is in the hands of at most one of them. */
export interface Consumer {
  /**
   * Hands out what the group has not settled and nobody holds, as soon as there is something, oldest first in each lane;
   * an empty list when nothing came within `maxWaitMs`. What must come again is handed out when it is due, in its lane.
   *
   * Durable: the attempt is on record before the delivery is handed out, so a holder that dies has used it.
   * Concurrent: one call at a time for each consumer.
   * Abort: resolves with an empty list; nothing is handed out.
   * Errors: `corrupt` never: a damaged entry is handed out with `batch.damaged` set, and its bytes as they are.
   */
  next(options: NextOptions): Promise<readonly Delivery[]>
  /**
   * Finishes deliveries: acknowledges each for its group, counts each event's outcome and puts what must come again into
   * the group's own stream.
   *
   * Atomic: for each delivery all of it happens or nothing.
   * Durable: when the promise resolves it survives a restart.
   * Fenced: a delivery that this consumer does not hold (any more) is refused and changes nothing; the answer lists those.
   * Errors: `internal` when an outcome does not add up to its delivery's events; nothing is settled then.
   */
  settle(outcomes: readonly Outcome[]): Promise<readonly Delivery[]>
  /** Gives back what is unfinished, at once, with its attempt number as it was before. Idempotent. */
  close(): Promise<void>
}

/** How much of a topic one group has done. `accepted + reopened = waiting + landed + dead + lost`. In events. */
export interface GroupDescription {
  readonly name: string
  readonly accepted: number
  readonly reopened: number
  readonly waiting: number
  readonly landed: number
  readonly dead: number
  readonly lost: number
  readonly skipped: number
  /** How many are in consumers' hands now. They are waiting too. */
  readonly inFlight: number
  /** When the oldest waiting event was received, in microseconds since 1970; null when nothing waits. */
  readonly oldestWaitingMicros: number | null
  /** Why it was paused, '' when nobody said; null while it is not. */
  readonly paused: string | null
  /** What an audit counted that walked the group's unsettled entries; equal to `waiting` when all is well. */
  readonly auditedWaiting: number
}

export interface TopicDescription {
  readonly name: string
  readonly partitions: number
  readonly groups: readonly GroupDescription[]
}

export interface LogDescription {
  readonly driver: string
  readonly epoch: number
  readonly durability: Durability
  /** What the log takes, in bytes: the memory of its server, or its files; null when it is not known. */
  readonly usedBytes: number | null
  /** How much it may take; null when nothing bounds it, or it is not known. */
  readonly limitBytes: number | null
  readonly topics: readonly TopicDescription[]
}

/** Which settled entries a stream may forget: those beyond either bound. */
export interface RetentionPolicy {
  /** Keep settled entries that were received at this time or later, in milliseconds since 1970. */
  readonly keepSinceMs: number
  /** Keep at most this many bytes of settled entries in each stream. */
  readonly maxBytes: number
}

export interface Trimmed {
  readonly entries: number
  readonly events: number
  readonly bytes: number
}

/** A kept entry, with the place of its first event. */
export interface KeptEntry {
  readonly position: Position
  readonly batch: RecordBatch
}

export interface ReadSettledOptions {
  readonly fromOffset: number
  readonly maxBytes: number
}

export interface SettledPage {
  readonly entries: readonly KeptEntry[]
  /** Where to go on; null at the end of the stream. */
  readonly nextOffset: number | null
}

export interface EventLog {
  /**
   * Makes the topic and its groups where they are missing, and remembers both. Idempotent. A new group starts at the
   * oldest kept entry. Partitions may be added, never taken away (`failed_precondition`).
   */
  declare(topic: string, declaration: TopicDeclaration): Promise<void>

  /**
   * Appends record batches to one stream and resolves with a position for each, in the same order.
   *
   * Durable: when the promise resolves, the batches survive a crash of the process and of the host.
   * Atomic: either all the batches are in the log or none is.
   * Ordered: calls are taken in the order in which they are made; entries of one stream are read in that order.
   * Refused in order: with a call that is refused as `backlogged` or `disk_full`, the later calls for that stream are
   * refused too that were made before its caller could know; so a caller that sends the refused ones again, in order, keeps
   * the order of its events.
   * Concurrent: calls may overlap; a driver makes those of several callers durable together.
   * Abort: rejects with `cancelled`. The batches may still be in the log, so their outcome is unknown, not rejected: a
   * caller that tries again must send the same event ids.
   * Errors: `not_found` (undeclared topic or partition); `backlogged` (over `maxWaiting`, or more waits to be stored than
   * the driver keeps; its cause is a Backlog), `disk_full`: nothing was written and nothing will be, both retryable; `out_of_range` (a sequence older than
   * `producerWindow`; nothing was written); `unavailable`: the outcome is unknown.
   */
  append(stream: StreamName, batches: readonly RecordBatch[], options?: AppendOptions): Promise<Appended>

  /**
   * Gives batches to one group again, through its own stream, so that no other group sees them. Counts their events as
   * reopened (and waiting) in the same step. Outside admission.
   *
   * Durable, Atomic (all or nothing): as append.
   * Errors: `not_found` (topic, partition, group); `disk_full` (nothing was written; retryable); `internal` (a batch is
   * damaged, or there are more than one call may reopen; nothing was written); `unavailable`: the outcome is unknown.
   */
  reopen(stream: StreamName, group: string, batches: readonly Reopened[]): Promise<void>

  /**
   * Reads kept entries of a stream that the group has settled wholly, oldest first, beginning with the entry that holds
   * or follows `fromOffset`. Entries the group has not settled are passed over: they will reach it anyway. What it put
   * into its own stream to come again is settled here.
   *
   * One call reads at most about `maxBytes`, and one entry at least (a bound of the driver's own applies too). It may
   * answer with no entries and still a `nextOffset`. A damaged entry has `batch.damaged` set.
   * Trimming: when it removes entries between two calls, the second goes on at the oldest kept.
   * Errors: `not_found` (topic, partition, group).
   */
  readSettled(stream: StreamName, group: string, options: ReadSettledOptions): Promise<SettledPage>

  /**
   * Pauses a group for a reason ('' when nobody gave one), or lets it go on (null). A paused group is handed out nothing, in
   * any process that uses the log; calls of `next` that wait go on waiting, and get what there is as soon as it goes on.
   * What is in consumers' hands can be settled and given back, appends are admitted up to their limit. Pausing again changes
   * the reason. Idempotent.
   *
   * Durable: when the promise resolves it survives a restart. What was being handed out while it was called may still
   * reach its consumer.
   * Errors: `not_found` (topic or group); `unavailable`: the outcome is unknown.
   */
  setPaused(topic: string, group: string, reason: string | null): Promise<void>

  /**
   * Forgets a group with its books and all that should have come again to it, and resolves with the number of its waiting
   * events: they will never reach it. Admission and trimming do not heed it any more; the other groups notice nothing.
   * Declared again, the name is a new group.
   *
   * Its consumers are of no use any more: until the name is declared again `next`, also one that waits, and `settle` reject
   * with `not_found`, and what they hold can never be settled.
   * Durable: when the promise resolves it survives a restart.
   * Errors: `not_found` (topic or group); `unavailable`: the outcome is unknown, and whoever tries again and finds no such
   * group has the answer.
   */
  dropGroup(topic: string, group: string): Promise<number>

  /** Joins a group of a declared topic. `not_found` when either is missing. */
  consume(topic: string, group: string, options: { readonly leaseMs: number }): Promise<Consumer>

  /** Tells what is in the log, group by group, from what is durable. */
  describe(): Promise<LogDescription>

  /** Forgets entries that every group of the topic has settled and the policy does not keep. Never anything else. */
  trim(topic: string, policy: RetentionPolicy): Promise<Trimmed>

  /**
   * Resolves with the reason when the log has failed for good: a failed flush or write, or damage. From then on nothing
   * is acknowledged; the process should end. Never resolves while all is well.
   */
  readonly failed: Promise<Error>

  /** Finishes what was begun, gives back all that is in consumers' hands, and lets go of the files. Idempotent. */
  close(): Promise<void>
}
