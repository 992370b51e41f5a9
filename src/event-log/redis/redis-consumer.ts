// One member of a group. The server records under its name what it holds, with the attempt; this process keeps only
// what it needs to settle the deliveries.
//
// While it waits it polls the partitions that the plan names (poll-plan.ts). When a reply was lost, the server may have
// handed out entries that this consumer does not know of: it gives those back before its next poll.

import { MillraceError } from '../../errors.ts'
import { type Lane, lanes } from '../../event/event.ts'
import type { Again, Consumer, Delivery, NextOptions, Outcome } from '../event-log.ts'
import type { BellListener } from './bell-listener.ts'
import { DeliveryBudget, type Share } from './delivery-budget.ts'
import { EpochOver, type Epochs } from './epochs.ts'
import { MemberWatch, release } from './member-watch.ts'
import { PollPlan } from './poll-plan.ts'
import { listOf, numberOf, type Reply, textOf } from './redis-connection.ts'
import { laneNumber, laneOfNumber, type PartitionKeys } from './redis-keys.ts'
import { checksumIn, countOfMember, encodeAgain, placeOf, readAgain, readEntry } from './stored-batch.ts'
import type { KnownTopic } from './topic-registry.ts'

/** Limits of one settle script, which blocks the server while it runs. */
const maxSettledPerScript = 200
const maxAgainBytesPerScript = 4 * 1024 * 1024

export interface RedisConsumerOptions {
  readonly epochs: Epochs
  readonly bells: BellListener
  readonly watch: MemberWatch
  /** The topic as currently known: partitions may be added. */
  readonly topic: () => KnownTopic
  readonly group: string
  /** Unique among all consumers. */
  readonly name: string
  readonly leaseMs: number
  /** The wall clock, in milliseconds since 1970. */
  readonly now: () => number
  /** Throws `not_found` when the error means that the group was dropped, else the error itself. */
  readonly refuseDropped: (thrown: unknown) => Promise<never>
  /** Stops the heartbeat. */
  readonly leave: () => Promise<void>
  readonly onSettled: (partition: PartitionKeys) => void
  readonly onClosed: (consumer: RedisConsumer) => void
}

/** A delivery that this consumer holds. */
interface Held {
  readonly delivery: Delivery
  readonly partition: PartitionKeys
  readonly kind: 'lane' | 'again'
  /** The entry's id, or its member in the group's own stream. */
  readonly id: string
  /** Its size on the server. */
  readonly bytes: number
}

/** Result of polling one partition. */
interface PollResult {
  readonly got: readonly Held[]
  /** The lanes whose next entry did not fit. */
  readonly full: readonly Lane[]
  readonly hasMore: boolean
}

const never = Number.POSITIVE_INFINITY

export class RedisConsumer implements Consumer {
  readonly #options: RedisConsumerOptions
  readonly #held = new Map<string, Held>()
  /** Settlements in flight: their deliveries are not in `#held`, and must not be given back either. */
  readonly #settling = new Set<Promise<unknown>>()
  readonly #touched = new Set<PartitionKeys>()
  /** Partitions in which this consumer may hold entries that it does not know of. */
  readonly #uncertain = new Set<PartitionKeys>()
  readonly #plan: PollPlan
  readonly #stop = new AbortController()
  /** The epoch in which the held deliveries were handed out. */
  #epoch: number
  #isWaiting = false
  #working: Promise<unknown> = Promise.resolve()
  #firstPartition = 0
  /** Error of the last failed poll. */
  #failure: unknown = null
  #deliveries = 0
  #closed: Promise<void> | null = null

  constructor(options: RedisConsumerOptions) {
    this.#options = options
    this.#epoch = options.epochs.epoch
    const { bells, now } = options
    const isSubscribed = (partition: PartitionKeys) => bells.isSubscribed(partition)
    this.#plan = new PollPlan({ bell: options.topic().bell, isSubscribed, now })
  }

  async next(options: NextOptions): Promise<readonly Delivery[]> {
    if (this.#closed !== null) throw new MillraceError('failed_precondition', 'the consumer is closed')
    if (this.#isWaiting) throw new MillraceError('internal', 'next() was called while an earlier call was waiting')
    if (options.signal?.aborted === true) return []
    this.#isWaiting = true
    const abortSignal = AbortSignal.any([this.#stop.signal, ...(options.signal === undefined ? [] : [options.signal])])
    const earlier = this.#working
    const working = (async () => {
      await earlier.catch(() => {})
      return this.#wait(options, abortSignal).catch(this.#options.refuseDropped)
    })()
    this.#working = working
    try {
      return await emptyOnAbort(working, abortSignal)
    } finally {
      this.#isWaiting = false
    }
  }

  async settle(outcomes: readonly Outcome[]): Promise<readonly Delivery[]> {
    this.#forgetEpoch()
    for (const outcome of outcomes) checkSum(outcome, this.#held.get(outcome.delivery.id))
    const refused = new Set<Outcome>()
    const byPartition = new Map<PartitionKeys, { held: Held; outcome: Outcome }[]>()
    for (const outcome of outcomes) {
      const held = this.#held.get(outcome.delivery.id)
      if (held === undefined) {
        refused.add(outcome)
        continue
      }
      this.#held.delete(outcome.delivery.id)
      const others = byPartition.get(held.partition)
      if (others === undefined) byPartition.set(held.partition, [{ held, outcome }])
      else others.push({ held, outcome })
    }
    const settling = Promise.allSettled(
      Array.from(byPartition, ([partition, all]) => this.#settle(partition, all, refused)),
    )
    this.#settling.add(settling)
    const results = await settling
    this.#settling.delete(settling)
    for (const result of results) if (result.status === 'rejected') await this.#options.refuseDropped(result.reason)
    return outcomes.filter((outcome) => refused.has(outcome)).map(({ delivery }) => delivery)
  }

  close(): Promise<void> {
    this.#closed ??= this.#close()
    return this.#closed
  }

  async #close(): Promise<void> {
    const { epochs, group, name, leave, onClosed } = this.#options
    this.#stop.abort()
    this.#held.clear()
    await this.#working.catch(() => {})
    while (this.#settling.size > 0) await Promise.all(this.#settling)
    for (const partition of this.#touched) {
      // What cannot be given back is released by other consumers once the heartbeat has been missing for a lease.
      await release(epochs, partition, group, name, { isGivenBack: true }).catch(() => {})
    }
    await leave().catch(() => {})
    onClosed(this)
  }

  async #wait(options: NextOptions, abortSignal: AbortSignal): Promise<readonly Delivery[]> {
    const { watch, topic, group, leaseMs } = this.#options
    const endsAtMs = performance.now() + options.maxWaitMs
    const open = new Set(lanes.filter((lane) => options.maxEvents[lane] > 0))
    for (let isFirst = true; ; isFirst = false) {
      if (abortSignal.aborted) return []
      const known = topic()
      this.#subscribe(known)
      const heard = known.bell.rung
      // A failed check is repeated by the next poll and must not stop this one.
      await watch.check(known, group, leaseMs).catch(() => {})
      // A call that does not wait cannot be woken by the bell, so it polls all; an unreachable partition may be back.
      const mustPoll = (each: PartitionKeys) => isFirst && (options.maxWaitMs <= 0 || this.#plan.isUnreachable(each))
      const partitions = this.#inTurn(known).filter(
        (each) => mustPoll(each) || this.#plan.pollDelayMs(each, open) === 0,
      )
      const taken = await this.#take(known, partitions, options, abortSignal)
      if (taken.length > 0) return taken
      const leftMs = endsAtMs - performance.now()
      if (leftMs <= 0) return []
      const delays = open.size === 0 ? [] : known.partitions.map((each) => this.#plan.pollDelayMs(each, open))
      await known.bell.wait(heard, Math.min(leftMs, MemberWatch.everyMs(leaseMs), ...delays), abortSignal)
    }
  }

  /** Subscribes to the bells of the partitions. */
  #subscribe({ bell, partitions }: KnownTopic): void {
    for (const partition of partitions) this.#options.bells.subscribe(bell, partition)
  }

  /** The partitions in round-robin order. */
  #inTurn({ partitions }: KnownTopic): readonly PartitionKeys[] {
    const first = this.#firstPartition % partitions.length
    return [...partitions.slice(first), ...partitions.slice(0, first)]
  }

  /**
   * Takes an equal share from each of the partitions concurrently, then fills the rest of the budget from those that
   * have more, one after the other.
   */
  async #take(
    topic: KnownTopic,
    partitions: readonly PartitionKeys[],
    options: NextOptions,
    abortSignal: AbortSignal,
  ): Promise<readonly Delivery[]> {
    const { epochs } = this.#options
    this.#forgetEpoch()
    const epoch = this.#epoch
    const budget = new DeliveryBudget(options)
    const got: Held[] = []
    let rest = partitions
    const share = budget.share(partitions.length)
    if (partitions.length > 1 && !budget.isExhausted && share.open.size === budget.rest().open.size) {
      const polls = await Promise.all(partitions.map((partition) => this.#poll(topic, partition, share, epoch)))
      for (const poll of polls) collect(poll, budget, got)
      rest = partitions.filter((_, index) => polls[index]!.hasMore)
    }
    for (const partition of rest) {
      if (abortSignal.aborted || budget.isExhausted) break
      const poll = await this.#poll(topic, partition, budget.rest(), epoch)
      collect(poll, budget, got)
      for (const lane of poll.full) budget.closeLane(lane)
    }
    if (abortSignal.aborted) {
      await this.#giveBack(got)
      return []
    }
    // The epoch ended meanwhile, so the taken entries are no longer valid.
    if (epoch !== epochs.epoch) return this.#take(topic, partitions, options, abortSignal)
    if (got.length === 0 && topic.partitions.every((each) => this.#plan.isUnreachable(each))) throw this.#failure
    if (got.length > 0) this.#firstPartition++
    for (const held of got) this.#held.set(held.delivery.id, held)
    return got.map(({ delivery }) => delivery)
  }

  /** Takes what fits from one partition; nothing when the partition is unreachable. */
  async #poll(topic: KnownTopic, partition: PartitionKeys, share: Share, epoch: number): Promise<PollResult> {
    const heard = topic.bell.rungAt(partition)
    let reply: Reply
    try {
      await this.#giveBackUnknown(partition)
      reply = await this.#runTake(epoch, partition, share.limits)
    } catch (thrown) {
      const failure = thrown instanceof EpochOver ? await this.#begin(thrown) : thrown
      if (failure === null) return { got: [], full: [], hasMore: false }
      this.#plan.failed(partition)
      this.#failure = failure
      return { got: [], full: [], hasMore: false }
    }
    const [deliveries, isFull, due] = listOf(reply)
    const got = listOf(deliveries).map((delivery) => this.#hold(topic, partition, epoch, listOf(delivery)))
    const full = lanes.filter((_, index) => listOf(isFull)[index] === 1)
    if (got.length > 0 || full.length > 0) this.#plan.foundSomething(partition)
    else this.#plan.foundNothing(partition, heard, share.open, textOf(due) === '' ? never : Number(textOf(due)))
    const hasMore = full.length > 0 || [...share.open].some((lane) => share.isUsedUp(lane, eventsOf(got, lane)))
    return { got, full, hasMore }
  }

  /** Begins the next epoch; returns the error, or null. */
  async #begin(over: EpochOver): Promise<unknown> {
    try {
      await this.#options.epochs.begin(over)
      return null
    } catch (thrown) {
      return thrown
    }
  }

  /** Drops the deliveries of an ended epoch; what the server still records of them is given back before a poll. */
  #forgetEpoch(): void {
    const { epoch } = this.#options.epochs
    if (epoch === this.#epoch) return
    this.#epoch = epoch
    this.#held.clear()
    for (const partition of this.#touched) this.#uncertain.add(partition)
  }

  async #runTake(epoch: number, partition: PartitionKeys, limits: readonly number[]): Promise<Reply> {
    const { epochs, group, name, now } = this.#options
    this.#touched.add(partition)
    this.#uncertain.add(partition)
    const args = [group, name, now(), ...limits]
    const reply = await epochs.run(epoch, 'take', partition, partition.forGroup(group), args)
    this.#uncertain.delete(partition)
    return reply
  }

  #hold(
    topic: KnownTopic,
    partition: PartitionKeys,
    epoch: number,
    [lane, kind, id, attempt, value]: readonly Reply[],
  ): Held {
    const { epochs, name } = this.#options
    const partitionNumber = topic.partitions.indexOf(partition)
    const stream = { topic: topic.name, partition: partitionNumber, lane: laneOfNumber(numberOf(lane)) }
    const isAgain = textOf(kind) === 'again'
    const entryId = textOf(id)
    const place = placeOf(entryId)
    const { offset, batch } = isAgain
      ? readAgain(countOfMember(entryId), value as Buffer)
      : { offset: place.offset, batch: readEntry(place.count, value) }
    if (!isAgain) {
      const entry = { id: entryId, checksum: checksumIn(value) }
      epochs.note(epoch, partition, stream.lane, place.offset + place.count, batch.damaged === true ? null : entry)
    }
    const delivery: Delivery = {
      id: `${name}-${++this.#deliveries}`,
      position: { stream, epoch, offset },
      batch,
      attempt: numberOf(attempt),
    }
    return { delivery, partition, kind: isAgain ? 'again' : 'lane', id: entryId, bytes: batch.bytes.length }
  }

  async #settle(
    partition: PartitionKeys,
    all: readonly { readonly held: Held; readonly outcome: Outcome }[],
    refused: Set<Outcome>,
  ): Promise<void> {
    const { epochs, group, name, onSettled } = this.#options
    const epoch = this.#epoch
    for (let from = 0; from < all.length; ) {
      const some = all.slice(from, from + settledByNextScript(all, from))
      const args = [group, name, ...some.flatMap(settleArguments)]
      try {
        const answers = listOf(await epochs.run(epoch, 'settle', partition, partition.forGroup(group), args))
        for (const [index, { outcome }] of some.entries()) if (answers[index] !== 1) refused.add(outcome)
      } catch (thrown) {
        if (thrown instanceof EpochOver) {
          // Deliveries of an ended epoch are void.
          for (const { outcome } of all.slice(from)) refused.add(outcome)
          await epochs.begin(thrown)
          return
        }
        // The outcome is unknown: the caller may retry, and is refused if the deliveries were settled.
        if (this.#closed === null) {
          for (const { held } of all.slice(from)) this.#held.set(held.delivery.id, held)
        }
        throw thrown
      } finally {
        onSettled(partition)
      }
      from += some.length
    }
  }

  /** Gives back entries that arrived after their caller had aborted. */
  async #giveBack(got: readonly Held[]): Promise<void> {
    for (const { partition } of got) this.#uncertain.add(partition)
    for (const partition of new Set(got.map((held) => held.partition))) await this.#giveBackUnknown(partition)
  }

  /** Gives back the entries that this consumer holds in a partition without knowing of them. */
  async #giveBackUnknown(partition: PartitionKeys): Promise<void> {
    if (!this.#uncertain.has(partition)) return
    while (this.#settling.size > 0) await Promise.all(this.#settling)
    const { epochs, group, name } = this.#options
    const here = [...this.#held.values()].filter((held) => held.partition === partition)
    const keep = here.map(({ kind, id, delivery }) =>
      kind === 'lane' ? `${laneNumber(delivery.position.stream.lane)}:${id}` : id,
    )
    await release(epochs, partition, group, name, { isGivenBack: true, keep })
    this.#uncertain.delete(partition)
  }
}

function collect(poll: PollResult, budget: DeliveryBudget, got: Held[]): void {
  for (const held of poll.got) budget.spend(held.delivery.position.stream.lane, held.delivery.batch.count, held.bytes)
  got.push(...poll.got)
}

function eventsOf(got: readonly Held[], wanted: Lane): number {
  let events = 0
  for (const { delivery } of got) if (delivery.position.stream.lane === wanted) events += delivery.batch.count
  return events
}

/** How many outcomes from here go into one script: at least one, and each with all its redeliveries. */
function settledByNextScript(all: readonly { readonly outcome: Outcome }[], from: number): number {
  let bytes = 0
  let count = 0
  for (const { outcome } of all.slice(from, from + maxSettledPerScript)) {
    for (const { batch } of outcome.again ?? []) bytes += batch.bytes.length
    if (count > 0 && bytes > maxAgainBytesPerScript) break
    count++
  }
  return count
}

function settleArguments({ held, outcome }: { readonly held: Held; readonly outcome: Outcome }) {
  const { kind, id, bytes, delivery } = held
  const { landed, dead, again = [] } = outcome
  const { lane } = delivery.position.stream
  const place = [laneNumber(lane), kind, id, delivery.attempt, bytes, landed, dead, again.length]
  return [...place, ...again.flatMap((one) => againArguments(one, delivery.position.offset))]
}

function againArguments({ batch, attempt, dueAtMs }: Again, offset: number) {
  const record = encodeAgain({ offset, batch })
  return [batch.count, attempt, dueAtMs, batch.receivedAtMicros, batch.bytes.length, record]
}

/** Throws `internal` when the outcome does not add up to the events of its delivery. */
function checkSum({ delivery, landed, dead, again = [] }: Outcome, held: Held | undefined): void {
  if (held === undefined) return
  const counts = [landed, dead, ...again.map(({ batch }) => batch.count)]
  const sum = counts.reduce((total, count) => total + count, 0)
  const { count } = held.delivery.batch
  if (sum === count && counts.every((each) => Number.isInteger(each) && each >= 0)) return
  throw new MillraceError(
    'internal',
    `the outcome of delivery ${delivery.id} counts ${sum} events; the delivery has ${count}`,
  )
}

/** Settles as the work does, or with an empty list when the signal aborts first. The work must heed the signal too. */
function emptyOnAbort(work: Promise<readonly Delivery[]>, signal: AbortSignal): Promise<readonly Delivery[]> {
  return new Promise((resolve, reject) => {
    const onAbort = () => resolve([])
    signal.addEventListener('abort', onAbort, { once: true })
    work.then(resolve, reject).finally(() => signal.removeEventListener('abort', onAbort))
  })
}
