// The contract of the log: what every driver guarantees. test/conformance/event-log.suite.ts tests each guarantee on
// every driver, including a log that is reopened, consumers that die, and time that passes.
//
// Job of a driver: store record batches, hand them out to consumer groups, record what each group has settled, and
// remove what retention no longer keeps.
// Not its job: retry counts, backoff, dead letters, batch sizes and admission shares. The core decides them.
//
// Terms: a topic is split into partitions, and each partition has one stream per lane. An entry is a place in a stream
// that holds one record batch. Offsets count events: an entry of 100 events at offset 500 is followed by one at offset
// 600. A group also has a stream of its own in each partition and lane, for redelivered events that no other group
// gets.

import type { Durability } from '../event/durability.ts'
import type { Lane } from '../event/event.ts'
import type { ProducerMessage } from '../event/producer-message.ts'
import type { RecordBatch } from '../event/record-batch.ts'
import type { KeptEntry, Position, StreamName } from './position.ts'
import type { Replies, ReplyToStore, RequestRegistration } from './replies.ts'
import type { LogTail } from './tail.ts'

export type { KeptEntry, Position, StreamName } from './position.ts'

/** What one commit made durable for producers, and how long it took. */
export interface CommitStats {
  readonly durationMs: number
  readonly entries: number
  readonly bytes: number
}

/** What keeps the log from working as it should. */
export interface LogProblem {
  /** In one word: the code with which Redis refuses writes, such as `MISCONF`, or an error code. */
  readonly reason: string
  /** For the operator, with the fix. */
  readonly message: string
  /** Whether appends are still accepted by a part of the log, or refused with a hint when to retry. */
  readonly answersAppends: boolean
  /** Whether consumers still get entries and can settle them, at least in a part of the log. */
  readonly delivers: boolean
}

/** Whether the log works, and how durable an acknowledged event is. */
export interface LogHealth {
  /** Null when nothing is wrong. */
  readonly problem: LogProblem | null
  /** The persistence that was detected for the log's storage. */
  readonly persistence: string
  /** True when the log could not verify the durability and relies on the operator's statement. */
  readonly isUnverified: boolean
}

export interface GroupDeclaration {
  readonly name: string
  /** Default: what is declared already, else false. What it means: Consumer.next. */
  readonly ordered?: boolean
}

/**
 * How many redeliveries an ordered group may have in a stream, about: while it has so many, `next` hands out these, and
 * nothing of the topic's stream.
 */
export const maxHeldEvents = 10_000

export interface TopicDeclaration {
  /** 1 .. 1024. */
  readonly partitions: number
  readonly groups: readonly GroupDeclaration[]
}

/** How much may wait in a partition, all its lanes together, when something is appended to one of them. */
export interface WaitingLimit {
  readonly maxEvents: number
  readonly maxBytes: number
}

export interface AppendOptions {
  /**
   * Refuses the append as `backlogged` when it would raise any group's waiting events or bytes in the partition above
   * this limit. Where nothing waits, an append of any size is admitted. Without a limit every append is admitted.
   */
  readonly maxWaiting?: WaitingLimit
  /**
   * The numbered message that these batches come from. For each producer and stream the log remembers the highest epoch,
   * and which of its last `producerWindow` sequences it has stored, so that it recognises a resend. A higher epoch begins
   * with no sequences; a lower one is refused. The log remembers at least `maxProducers` pairs of producer and stream, and
   * forgets the least recently used first. A refused append is not remembered: when it is sent again, it is appended.
   */
  readonly producer?: ProducerMessage
  /**
   * Registers a request (replies.ts). When its id is registered already with this fingerprint, nothing is stored and the
   * answer is a duplicate, whatever the limit; with another one the append is refused as `failed_precondition`. A refused
   * append registers nothing.
   */
  readonly once?: RequestRegistration
  readonly signal?: AbortSignal
}

/**
 * How many of a producer's latest sequences the log can recognise; an older one is refused as `out_of_range`. Twice the
 * number of messages that a server reads ahead of its answers (api/), so that every message left unanswered by a broken
 * connection can be sent again.
 */
export const producerWindow = 8192

/**
 * The minimum number of pairs of producer and stream that the log remembers. The bound applies to all streams together
 * in a driver that keeps the pairs in one place, and to each partition in a driver that does not.
 */
export const maxProducers = 10_000

export interface Appended {
  /** One for each batch, in the same order; empty for a duplicate. */
  readonly positions: readonly Position[]
  /** True when the stream already had this producer's sequence: nothing was stored by this call. */
  readonly duplicate: boolean
}

/**
 * The `cause` of a `backlogged` error, from which the core computes when to retry.
 * `settledEvents` counts the events that the group has settled since the log was opened; two samples give its rate.
 */
export interface Backlog {
  readonly group: string
  readonly waitingEvents: number
  readonly waitingBytes: number
  readonly settledEvents: number
}

/**
 * The `cause` of the `unavailable` error of a consumer that is useless: the log has lost data and begun a new epoch. The
 * consumer's deliveries are void, with their attempts unused; close it and join the group again.
 */
export interface EndedEpoch {
  readonly endedEpoch: number
}

/** Whether a consumer has thrown this because its epoch has ended. */
export function isEndedEpoch(thrown: Error): boolean {
  return typeof thrown.cause === 'object' && thrown.cause !== null && 'endedEpoch' in thrown.cause
}

/** An entry that is leased to one consumer. */
export interface Delivery {
  /** Identifies this delivery when it is settled. */
  readonly id: string
  readonly position: Position
  readonly batch: RecordBatch
  /** How many times the entry has been handed out, this time included: 1 for the first. */
  readonly attempt: number
  /**
   * Whether an earlier consumer died, or lost its lease, while it held the entry: these events may be what ended it. A
   * redelivery has it when its `again` had.
   */
  readonly isSuspect: boolean
  /** Whether it is a redelivery with a key: the first one of its key in the stream. */
  readonly isKeyed: boolean
  /** Whether the consumer of an ordered group held nothing of the stream before it. False in any other group. */
  readonly isFirstLease: boolean
}

/** The outcome of a delivery. `landed + dead +` the events in `again` must equal the delivery's number of events. */
export interface Outcome {
  readonly delivery: Delivery
  readonly landed: number
  readonly dead: number
  /** What must be redelivered to this group. */
  readonly again?: readonly Again[]
  /** Stored with the settlement, then announced; nothing is when the delivery is refused. */
  readonly reply?: ReplyToStore
}

/** The due time of what is held until `release`: the latest time that JavaScript knows. */
export const never = 8.64e15

/** The due time of what is to be redelivered at once. What a consumer returns as due at 0 goes before it. */
export const dueAtOnce = 1

/** Events to redeliver. */
export interface Again {
  readonly batch: RecordBatch
  /** How many times these events have been tried; they are redelivered with one more. */
  readonly attempt: number
  /** The earliest time of the redelivery, in milliseconds since 1970; with a key also `never`. */
  readonly dueAtMs: number
  /** Default false. A suspect event has been tried: its `attempt` is at least 1. */
  readonly isSuspect?: boolean
  /** The offset in the topic's stream where the batch's first event was stored. Default: that of the delivery. */
  readonly offset?: number
  /**
   * The redeliveries of one key in a stream of the group are handed out one at a time, in the order of their offsets: each
   * is held until the one before it is settled. With a key the batch has one event.
   */
  readonly key?: string | undefined
}

/** A key with redeliveries in a group's own stream. */
export interface HeldKey {
  readonly key: string
  /** Its redeliveries, all of them. */
  readonly events: number
  /** How many times the first of them has been handed out, and not returned. */
  readonly attempt: number
  /** When the first one is due, in milliseconds since 1970, or `never`. */
  readonly dueAtMs: number
}

/** Limits of one `reopen` call: one batch of any size, or at most this many batches of this many bytes in total. */
export const maxReopenedBatches = 1000
export const maxReopenedBytes = 4 * 1024 * 1024

/** A batch that is delivered to one group once more: redriven or replayed. */
export interface Reopened {
  readonly batch: RecordBatch
  /** How many times these events have been tried; they are redelivered with one more. */
  readonly attempt: number
  /** The offset in the topic's stream where the batch's first event was stored; the delivery's position has it. */
  readonly offset: number
}

/** Max bytes that one call of `next` hands out, except for a larger first entry. */
export const maxNextBytes = 8 * 1024 * 1024

export interface NextOptions {
  /**
   * Max events of each lane that this call hands out; 0 excludes the lane. Entries are not split: the first entry of a
   * lane is handed out even when it has more events.
   */
  readonly maxEvents: Readonly<Record<Lane, number>>
  /**
   * Max bytes of the batches that this call hands out, at most `maxNextBytes`, which is the default. The first entry is
   * handed out even when it has more.
   */
  readonly maxBytes?: number
  /** How long to wait for the first entry, in milliseconds; 0 returns at once. */
  readonly maxWaitMs: number
  readonly signal?: AbortSignal
}

/** One member of a group. Members compete: an entry is leased to at most one of them at a time. */
export interface Consumer {
  /**
   * Hands out entries that the group has not settled and that no member holds, as soon as there are any, oldest first
   * in each lane. Resolves with an empty list when none arrived within `maxWaitMs`. Redeliveries are handed out in
   * their lane when they are due, in the order of their due times. Each partition that has work gets an equal share of the call, then the rest is filled.
   *
   * A stream of an ordered group has one consumer at a time: while a consumer has unsettled deliveries of a stream, its
   * redeliveries included, no other one gets any of it. So a consumer has no gap below what it is given, and may learn
   * from `heldKeys` which keys have redeliveries, when it gets a delivery with `isFirstLease`: from then on only its own
   * outcomes add any, until it gets another such. It may have lost its leases in between, and not know.
   *
   * Durable: the attempt is recorded before the delivery is handed out, so a holder that dies has used it up.
   * Concurrent: one call at a time for each consumer (`internal` otherwise).
   * Abort: resolves with an empty list; nothing is handed out.
   * Errors: `failed_precondition` (the consumer is closed); `not_found` (the group was dropped); `unavailable` (when the
   * cause is an EndedEpoch, for good). Never `corrupt`: a damaged entry is handed out with `batch.damaged` set and its
   * bytes as they are.
   */
  next(options: NextOptions): Promise<readonly Delivery[]>
  /**
   * Finishes deliveries: acknowledges each one for its group, counts the outcome of each event, and stores what must be
   * redelivered in the group's own stream. Resolves with the deliveries that were refused.
   *
   * Atomic: each delivery is settled completely or not at all.
   * Durable: when the promise resolves, the settlement survives a restart.
   * Fenced: a delivery that this consumer does not hold, or no longer holds, is refused and changes nothing.
   * Errors: `internal` (an outcome does not add up to its delivery's events, or a key has more than one; nothing is settled); `not_found` (the
   * group was dropped); `unavailable`: the outcome is unknown, and the call may be repeated (when the cause is an
   * EndedEpoch, the deliveries are void).
   */
  settle(outcomes: readonly Outcome[]): Promise<readonly Delivery[]>
  /** Returns unfinished deliveries to the group at once, with the attempt count they had before. Idempotent. */
  close(): Promise<void>
}

/** The highest limit of a group. */
export const maxGroupLimit = 100_000

/** Limits that hold for a group in all processes that use the log: 1 .. maxGroupLimit each. */
export interface GroupLimits {
  /** How many events may be at work at once. */
  readonly groupConcurrency?: number
  /** How many events may begin within any second. */
  readonly ratePerSecond?: number
  /** How many events of a key may be at work at once. Only compared: the holder of a stream of an ordered group counts them. */
  readonly limitPerKey?: number
}

/** What `Permits.take` was given. */
export interface TakenPermits {
  readonly taken: number
  /** The limit because of which it is not all that was asked for, and how much of it is used; null when it is all. */
  readonly full: { readonly limit: 'groupConcurrency' | 'ratePerSecond'; readonly used: number } | null
  /** When to ask again for the rest. */
  readonly retryAfterMs: number
}

/**
 * The permits of one process to work on events of a group with limits: one for each event. Never more are out, in all
 * processes together, than `groupConcurrency`; never do more events begin within a second than `ratePerSecond`. In a
 * driver that several processes share, a process that shows no sign of life for its lease loses its permits. What it
 * then still works on is not counted.
 *
 * Fair: a process that is refused for a second gets its share of `groupConcurrency`, as soon as others give theirs back.
 */
export interface Permits {
  /**
   * Gives back the permits with which nothing has begun, then takes up to `most`, or none where fewer than `least` are
   * free. With 0 it only gives back.
   *
   * Errors: `failed_precondition` (closed; or as EventLog.permits); `not_found` (the group was dropped); `unavailable`:
   * nothing was taken, as far as this process is concerned, and the call may be repeated.
   */
  take(most: number, least?: number): Promise<TakenPermits>
  /** Begins to work on `events`, each with a permit; false, and nothing is begun, where there are too few that are good. */
  begin(events: number): boolean
  /** Ends the work on `events` that have begun. The next `take` gives their permits back. */
  end(events: number): void
  /** Gives all permits back, except those of events that are at work: they end with the lease. Idempotent. */
  close(): Promise<void>
}

/** What a person has set for a group: that it is paused, with the reason ('' when none is given), or limited to a rate. */
export type Flow = { readonly paused: string } | { readonly ratePerSecond: number }

/** A limited group gets what its rate gives in so long at once, or one entry with more events. */
export const maxFlowStepMs = 100

/** One group's progress in a topic, in events: `accepted + reopened = waiting + landed + dead + lost`. */
export interface GroupDescription {
  readonly name: string
  readonly ordered: boolean
  readonly accepted: number
  readonly reopened: number
  readonly waiting: number
  readonly landed: number
  readonly dead: number
  /** Null when no process knows how many there were. */
  readonly lost: number | null
  readonly skipped: number
  /** Events that are leased to consumers now. They count as waiting too. */
  readonly inFlight: number
  /**
   * Events to be redelivered that are not due yet. They count as waiting too. Null when there are too many entries to
   * count them each time.
   */
  readonly scheduled: number | null
  /**
   * Events that have no due time: those that wait for an earlier one of their key, or for a `release`. They count as
   * waiting too.
   */
  readonly held: number
  /**
   * Whether a consumer has joined the group and not left, in any process that uses the log. One that died counts until its
   * lease has expired.
   */
  readonly hasConsumers: boolean
  /** When the oldest waiting event was received, in microseconds since 1970; null when nothing waits. */
  readonly oldestWaitingMicros: number | null
  /** Null: neither paused nor limited to a rate. */
  readonly flow: Flow | null
  /**
   * Waiting events as counted by an audit that walks the group's unsettled entries; must equal `waiting`. Null when there
   * are too many entries to walk them each time.
   */
  readonly auditedWaiting: number | null
}

export interface TopicDescription {
  readonly name: string
  readonly partitions: number
  readonly groups: readonly GroupDescription[]
  /** Each partition's streams; empty for a topic without groups. */
  readonly streams: readonly StreamEnd[]
}

/** Where a stream of a topic ends: the offset that the next event gets. */
export interface StreamEnd {
  readonly partition: number
  readonly lane: Lane
  readonly nextOffset: number
}

export interface DescribeOptions {
  /**
   * Whether to audit the groups that are paused however many unsettled entries they have, which takes long. Default
   * false.
   */
  readonly auditsPaused?: boolean
}

export interface LogDescription {
  readonly driver: string
  readonly epoch: number
  readonly durability: Durability
  /** Bytes that the log occupies: memory of its server, or size of its files; null when unknown. */
  readonly usedBytes: number | null
  /** Max bytes that it may occupy; null when there is no limit, or it is unknown. */
  readonly limitBytes: number | null
  readonly topics: readonly TopicDescription[]
}

/** Which settled entries may be removed from a stream: those outside either bound. */
export interface RetentionPolicy {
  /** Keep settled entries that were received at this time or later, in milliseconds since 1970. */
  readonly keepSinceMs: number
  /** Keep at most this many bytes of settled entries in each stream. */
  readonly maxBytes: number
}

/** What a trim removed. */
export interface Trimmed {
  readonly entries: number
  readonly events: number
  readonly bytes: number
}

export interface ReadSettledOptions {
  readonly fromOffset: number
  readonly maxBytes: number
}

export interface SettledPage {
  readonly entries: readonly KeptEntry[]
  /** The offset to continue at; null at the end of the stream. */
  readonly nextOffset: number | null
}

export interface EventLog {
  /**
   * Creates the topic and its groups where they are missing; both survive a restart. Idempotent. A new group starts at
   * the oldest kept entry. Partitions may be added, never removed.
   *
   * Errors: `failed_precondition` (fewer partitions than the topic has, or a number of partitions or a name outside the
   * limits, or another value of `ordered` than a group has; nothing is declared).
   */
  declare(topic: string, declaration: TopicDeclaration): Promise<void>

  /**
   * Appends record batches to one stream and resolves with a position for each, in the same order.
   *
   * Durable: when the promise resolves, the batches survive a crash of the process and of the host.
   * Atomic: either all the batches are in the log or none is.
   * Ordered: calls take effect in the order in which they are made; entries of one stream are read in that order.
   * Refused in order: when a call is refused as `backlogged` or `disk_full`, later calls for the same stream are
   * refused too if they were made before its caller could know of the refusal. So a caller that sends the refused calls
   * again, in order, keeps the order of its events. A call without a limit is not refused because of another one's.
   * Concurrent: calls may overlap; a driver makes the appends of several callers durable together.
   * Abort: rejects with `cancelled`. The batches may still be in the log, so their outcome is unknown, not rejected: a
   * caller that retries must send the same event ids.
   * Errors: `not_found` (undeclared topic or partition); `backlogged` (over `maxWaiting`, or the driver's queue of
   * appends to be stored is full; the cause is a Backlog) and `disk_full`: nothing was written and nothing will be,
   * both retryable; `durability_lost` (the configured durability cannot be reached now; nothing was written);
   * `out_of_range` (the sequence is older than `producerWindow`; nothing was written); `failed_precondition` (the stream
   * remembers a higher epoch of the producer, which the error has as `highestProducerEpoch`; nothing was written);
   * `unavailable`: the outcome is unknown.
   */
  append(stream: StreamName, batches: readonly RecordBatch[], options?: AppendOptions): Promise<Appended>

  /**
   * Delivers batches to one group once more, through the group's own stream, so that no other group sees them. Counts
   * their events as reopened and as waiting in the same step. Not subject to admission.
   *
   * Durable, Atomic (all or nothing): as append.
   * Errors: `not_found` (topic, partition or group); `disk_full` (nothing was written; retryable); `durability_lost` (as
   * append); `internal` (a batch is damaged, or the call exceeds `maxReopenedBatches` or `maxReopenedBytes`; nothing was
   * written); `unavailable`: the outcome is unknown.
   */
  reopen(stream: StreamName, group: string, batches: readonly Reopened[]): Promise<void>

  /**
   * Reads kept entries of a stream that the group has settled completely, oldest first, starting with the entry that
   * contains or follows `fromOffset`. Entries that the group has not settled are skipped, because they will be
   * delivered to it anyway. An entry counts as settled here when its events were moved to the group's own stream for
   * redelivery.
   *
   * One call reads about `maxBytes` at most and one entry at least; a driver may have a smaller bound of its own. A
   * page may have no entries and still a `nextOffset`. A damaged entry has `batch.damaged` set.
   * Trimming: when it removes entries between two calls, the second call continues at the oldest kept entry.
   * Errors: `not_found` (topic, partition or group).
   */
  readSettled(stream: StreamName, group: string, options: ReadSettledOptions): Promise<SettledPage>

  /**
   * The keys that have redeliveries in a group's own stream, in any order. Errors: `not_found` (topic, partition or
   * group).
   */
  heldKeys(stream: StreamName, group: string): Promise<readonly HeldKey[]>

  /**
   * Makes the first redelivery of a key due at once, as one that has been handed out `attempt` times, or as often as it has
   * been (null). Resolves with false, and changes nothing, when the key has none, or a consumer holds it.
   *
   * Durable: when the promise resolves, the change survives a restart.
   * Errors: `not_found` (topic, partition or group); `unavailable`: the outcome is unknown, and the call may be repeated.
   */
  release(stream: StreamName, group: string, key: string, attempt: number | null): Promise<boolean>

  /**
   * Pauses a group, limits it to a rate, or ends both (null), in all processes that use the log. Idempotent; what was set
   * before ends. Pending calls of `next` keep waiting and get entries as soon as the group may have them. Deliveries that
   * are already leased can be settled and returned, and appends are admitted up to their limit.
   *
   * Paused: nothing is handed out to the group.
   * Limited: at most `ratePerSecond` (1 .. maxGroupLimit) events a second are handed out over time, redeliveries too, but
   * not counting what is returned without an attempt. Entries are not split: after n events nothing is handed out for
   * n / ratePerSecond seconds. While the group has no work, no more than `maxFlowStepMs` is saved up.
   * Durable: when the promise resolves, the change survives a restart. A delivery that was being handed out during the
   * call may still reach its consumer.
   * Errors: `not_found` (topic or group); `unavailable`: the outcome is unknown.
   */
  setFlow(topic: string, group: string, flow: Flow | null): Promise<void>

  /**
   * Deletes a group with its counters, cursors and pending redeliveries, and resolves with the number of its waiting
   * events, which will never be delivered to it. Admission and trimming no longer consider the group; other groups are
   * not affected. When the name is declared again, it is a new group.
   *
   * Consumers of the dropped group are useless: until the name is declared again, `next` (including a pending call) and
   * `settle` reject with `not_found`. Their deliveries can never be settled.
   * Durable: when the promise resolves, the deletion survives a restart.
   * Errors: `not_found` (topic or group); `unavailable`: the outcome is unknown, and a retry that finds no such group
   * shows that the first call succeeded.
   */
  dropGroup(topic: string, group: string): Promise<number>

  /**
   * Joins a group of a declared topic. In a driver that several processes share, a consumer that shows no sign of life
   * for `leaseMs` loses its deliveries to the group.
   *
   * Errors: `not_found` (topic or group); `failed_precondition` (too many consumers are open).
   */
  consume(topic: string, group: string, options: { readonly leaseMs: number }): Promise<Consumer>

  /**
   * Joins the processes that work on a group, within limits or without. All of them must state the same limits: a process
   * with others is refused until the last of these has closed, or lost its lease. Limits are not durable: after a failover, permits may be out twice for a
   * third of a lease.
   *
   * Errors: `not_found` (topic or group); `failed_precondition` (others have joined with other limits; `field` is the limit).
   */
  permits(topic: string, group: string, limits: GroupLimits, options: { readonly leaseMs: number }): Promise<Permits>

  /**
   * Whether a consumer has joined the group and not left, in any process: one that died counts until its lease has
   * expired. False when there is no such topic or group. Errors: `unavailable`.
   */
  hasConsumers(topic: string, group: string): Promise<boolean>

  /**
   * Keeps what a process says of itself for `forMs`, or forgets it ('' as the text), and resolves with all that is kept, by
   * process. It is not durable, and says nothing about consumers. A driver that one process owns has that process only.
   * Errors: `unavailable`.
   */
  announce(process: string, text: string, forMs: number): Promise<ReadonlyMap<string, string>>

  /** Requests and their replies. */
  readonly replies: Replies

  /** Reading a topic without a group. */
  readonly tail: LogTail

  /** The names of all declared topics, in any order. Errors: `unavailable`. */
  topics(): Promise<readonly string[]>

  /** Describes what is in the log, group by group, from durable state. */
  describe(options?: DescribeOptions): Promise<LogDescription>

  /**
   * Removes entries that every group of the topic has settled and that the policy does not keep, and no others. A topic
   * without groups is not trimmed. Errors: `not_found` (topic).
   */
  trim(topic: string, policy: RetentionPolicy): Promise<Trimmed>

  /**
   * Resolves with the reason when the log has failed permanently: a failed flush or write, or damage. From then on
   * nothing is acknowledged, and the process should exit. Stays pending while the log works.
   */
  readonly failed: Promise<Error>

  /** Finishes the calls in progress, returns all leased deliveries to their groups and closes the files. Idempotent. */
  close(): Promise<void>
}
