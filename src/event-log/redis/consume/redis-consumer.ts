// One member of a group, in one session. The server records under its name what it holds, with the attempt; this process
// keeps only what it needs to settle the deliveries.
//
// While it waits it polls the partitions that the plan names (poll-plan.ts). When a reply was lost, the server may have
// handed out entries that this consumer does not know of: it gives those back before its next poll. When its session is
// over it is useless, and only gives back what it held.

import { MillraceError } from '../../../errors.ts'
import { type Lane, lanes } from '../../../event/event.ts'
import { checkOutcome } from '../../check-outcome.ts'
import {
  type Consumer,
  type Delivery,
  maxFlowStepMs,
  maxHeldEvents,
  type NextOptions,
  type Outcome,
} from '../../event-log.ts'
import { listOf, numberOf, type Reply, textOf } from '../connection/redis-connection.ts'
import { laneNumber, laneOfNumber, type PartitionKeys } from '../redis-keys.ts'
import type { RedisSession } from '../session/redis-session.ts'
import { consumerOver, SessionOver } from '../session/session-over.ts'
import type { Sessions } from '../session/sessions.ts'
import { checksumIn, countOfMember, keyOfMember, placeOf, readAgain, readEntry } from '../stored-batch.ts'
import type { KnownTopic } from '../topics/registry-content.ts'
import { groupNotFound } from '../topics/topic-registry.ts'
import type { Bells } from './bells.ts'
import { DeliveryBudget, type Share } from './delivery-budget.ts'
import { MemberWatch, release } from './member-watch.ts'
import { PollPlan } from './poll-plan.ts'
import { type Held, type Settlement, settleArguments, settledByNextScript } from './settlement.ts'

export interface RedisConsumerOptions {
  readonly sessions: Sessions
  readonly session: RedisSession
  readonly bells: Bells
  readonly watch: MemberWatch
  readonly topic: string
  readonly group: string
  /** Unique among all consumers (member-watch.ts). */
  readonly name: string
  readonly leaseMs: number
  /** The wall clock, in milliseconds since 1970. */
  readonly now: () => number
  /** Throws `not_found` when the error means that the group was dropped, else the error itself. */
  readonly refuseDropped: (thrown: unknown) => Promise<never>
  /** Ends its membership. */
  readonly leave: () => Promise<void>
  readonly onSettled: (partition: PartitionKeys) => void
  readonly onClosed: (consumer: RedisConsumer) => void
}

/** Result of polling one partition. */
interface PollResult {
  readonly got: readonly Held[]
  /** The lanes whose next entry did not fit. */
  readonly full: readonly Lane[]
  readonly hasMore: boolean
}

const never = Number.POSITIVE_INFINITY
/** The answer for a group without a rate. */
const unlimited = { most: never, waitMs: 0 }
const nothing: PollResult = { got: [], full: [], hasMore: false }

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
  #isWaiting = false
  #working: Promise<unknown> = Promise.resolve()
  #firstPartition = 0
  /** Whether the group has a rate, as far as is known. */
  #hasRate = false
  /** Error of the last failed poll. */
  #failure: unknown = null
  #deliveries = 0
  #closed: Promise<void> | null = null

  constructor(options: RedisConsumerOptions) {
    this.#options = options
    this.#plan = new PollPlan(options)
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
      return (
        this.#wait(options, abortSignal)
          .catch((thrown) => this.#explain(thrown))
          // This one may have been woken in place of another, which has room for what is left, or is told the same.
          .finally(() => this.#options.bells.wakeOne(this.#options.topic, this.#options.group))
      )
    })()
    this.#working = working
    try {
      return await emptyOnAbort(working, abortSignal)
    } finally {
      this.#isWaiting = false
    }
  }

  async settle(outcomes: readonly Outcome[]): Promise<readonly Delivery[]> {
    this.#refuseIfOver()
    for (const outcome of outcomes) {
      const held = this.#held.get(outcome.delivery.id)
      if (held !== undefined) checkOutcome(outcome, held.delivery.batch.count)
    }
    const refused = new Set<Outcome>()
    const byPartition = new Map<PartitionKeys, Settlement[]>()
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
    for (const result of results) if (result.status === 'rejected') await this.#explain(result.reason)
    return outcomes.filter((outcome) => refused.has(outcome)).map(({ delivery }) => delivery)
  }

  close(): Promise<void> {
    this.#closed ??= this.#close()
    return this.#closed
  }

  async #close(): Promise<void> {
    const { watch, group, name, leave, onClosed } = this.#options
    this.#stop.abort()
    this.#held.clear()
    await this.#working.catch(() => {})
    while (this.#settling.size > 0) await Promise.all(this.#settling)
    for (const partition of this.#touched) await watch.giveBack(partition, group, name)
    await leave().catch(() => {})
    onClosed(this)
  }

  /** Throws what the caller is told. */
  async #explain(thrown: unknown): Promise<never> {
    const { sessions, refuseDropped } = this.#options
    if (thrown instanceof SessionOver) await sessions.begin(thrown)
    this.#refuseIfOver()
    return await refuseDropped(thrown)
  }

  #refuseIfOver(): void {
    const { session } = this.#options
    if (session.over.aborted) throw consumerOver(session.epoch)
  }

  async #wait(options: NextOptions, abortSignal: AbortSignal): Promise<readonly Delivery[]> {
    const { session, bells, watch, topic, group, leaseMs } = this.#options
    const { maxEvents, maxWaitMs } = options
    const endsAtMs = performance.now() + maxWaitMs
    const open = new Set(lanes.filter((lane) => maxEvents[lane] > 0))
    const anySignal = AbortSignal.any([abortSignal, session.over])
    for (let isFirst = true; ; isFirst = false) {
      if (abortSignal.aborted) return []
      this.#refuseIfOver()
      const known = session.registry.topics.get(topic)
      if (known === undefined) throw groupNotFound(topic, group)
      for (const partition of known.partitions) bells.subscribe(partition)
      const heard = bells.rungIn(topic)
      // A failed check is repeated by the next poll and must not stop this one.
      await watch.check(known, group, leaseMs).catch(() => {})
      // A call that does not wait cannot be woken by the bell, so it polls all; an unreachable partition may be back.
      const mustPoll = (each: PartitionKeys) => isFirst && (maxWaitMs <= 0 || this.#plan.isUnreachable(each))
      const partitions = this.#inTurn(known).filter(
        (each) => mustPoll(each) || this.#plan.pollDelayMs(each, open) === 0,
      )
      const hadRate = this.#hasRate
      const { most, waitMs } = partitions.length === 0 ? unlimited : await this.#allow(known)
      const taken = await this.#takeAtMost(most, known, partitions, options, abortSignal)
      if (taken.length > 0) return taken
      if (this.#hasRate !== hadRate) continue
      // Another one may take from the other lanes.
      if (partitions.length > 0 && open.size < lanes.length) bells.wakeOne(topic, group)
      const leftMs = endsAtMs - performance.now()
      if (leftMs <= 0) return []
      const pollDelays = open.size === 0 ? [] : known.partitions.map((each) => this.#plan.pollDelayMs(each, open))
      const delays = waitMs > 0 ? [waitMs] : pollDelays
      await bells.wait(topic, group, heard, Math.min(leftMs, MemberWatch.everyMs(leaseMs), ...delays), anySignal)
    }
  }

  /** How many events of each lane may be handed out now; a step of the rate, which counts, or none for `waitMs`. */
  async #allow(topic: KnownTopic): Promise<{ readonly most: number; readonly waitMs: number }> {
    if (!this.#hasRate) return unlimited
    const [most, waitMs] = listOf(await this.#count(topic, 0)).map(numberOf) as [number, number]
    this.#hasRate = most >= 0
    return this.#hasRate ? { most, waitMs } : unlimited
  }

  async #takeAtMost(
    most: number,
    topic: KnownTopic,
    partitions: readonly PartitionKeys[],
    options: NextOptions,
    abortSignal: AbortSignal,
  ): Promise<readonly Delivery[]> {
    if (most === 0) return []
    if (most === unlimited.most) return await this.#take(topic, partitions, options, abortSignal)
    const { high, normal, low } = options.maxEvents
    const maxEvents = { high: Math.min(high, most), normal: Math.min(normal, most), low: Math.min(low, most) }
    const taken = await this.#take(topic, partitions, { ...options, maxEvents }, abortSignal)
    const events = taken.reduce((sum, { batch }) => sum + batch.count, 0)
    // Not waited for: after an abort meanwhile, nobody would get what was taken.
    if (events !== most) void this.#count(topic, events - most).catch(() => {})
    return taken
  }

  /** Corrects how many events count in the rate of the group, or with 0 asks for a step (flow.lua). */
  async #count({ partitions }: KnownTopic, events: number): Promise<Reply> {
    const { session, group } = this.#options
    const first = partitions[0]!
    const args = [group, Math.max(0, events), Math.max(0, -events), maxFlowStepMs]
    return await session.run('flow', first, [first.books], args)
  }

  /** The partitions in round-robin order. */
  #inTurn({ partitions }: KnownTopic): readonly PartitionKeys[] {
    const first = this.#firstPartition % partitions.length
    return [...partitions.slice(first), ...partitions.slice(0, first)]
  }

  /**
   * Takes an equal share from each of the partitions concurrently, then shares the rest among those that have more. What
   * fits into no share is taken from one after the other.
   */
  async #take(
    topic: KnownTopic,
    partitions: readonly PartitionKeys[],
    options: NextOptions,
    abortSignal: AbortSignal,
  ): Promise<readonly Delivery[]> {
    if (this.#failure instanceof SessionOver) this.#failure = null
    const budget = new DeliveryBudget(options)
    const got: Held[] = []
    let rest = partitions
    for (let hasProgress = true; hasProgress && rest.length > 1 && budget.isEnoughFor(rest.length); ) {
      const shares = budget.shares(rest.length)
      const polls = await Promise.all(rest.map((partition, index) => this.#poll(partition, shares[index]!)))
      for (const poll of polls) collect(poll, budget, got)
      const left = rest.filter((_, index) => polls[index]!.hasMore)
      hasProgress = left.length < rest.length || polls.some((poll) => poll.got.length > 0)
      rest = left
    }
    for (const partition of rest) {
      if (abortSignal.aborted || budget.isExhausted) break
      const poll = await this.#poll(partition, budget.rest())
      collect(poll, budget, got)
      for (const lane of poll.full) budget.closeLane(lane)
    }
    if (abortSignal.aborted) {
      await this.#giveBack(got)
      return []
    }
    if (this.#failure instanceof SessionOver) {
      for (const { partition } of got) this.#uncertain.add(partition)
      throw this.#failure
    }
    if (got.length === 0 && topic.partitions.every((each) => this.#plan.isUnreachable(each))) throw this.#failure
    if (got.length > 0) this.#firstPartition++
    for (const held of got) this.#held.set(held.delivery.id, held)
    return got.map(({ delivery }) => delivery)
  }

  /** Takes what fits from one partition; nothing when the partition is unreachable. */
  async #poll(partition: PartitionKeys, share: Share): Promise<PollResult> {
    const heard = this.#options.bells.rungAt(partition)
    let reply: Reply
    try {
      await this.#giveBackUnknown(partition)
      reply = await this.#runTake(partition, share.limits)
    } catch (thrown) {
      this.#plan.failed(partition)
      if (!(this.#failure instanceof SessionOver)) this.#failure = thrown
      return nothing
    }
    const [deliveries, isFull, due, mustAsk] = listOf(reply)
    if (mustAsk === 1) {
      this.#hasRate = true
      this.#plan.foundSomething(partition)
      return nothing
    }
    const got = listOf(deliveries).map((delivery) => this.#hold(partition, listOf(delivery)))
    const full = lanes.filter((_, index) => listOf(isFull)[index] === 1)
    if (got.length > 0 || full.length > 0) this.#plan.foundSomething(partition)
    else this.#plan.foundNothing(partition, heard, share.open, textOf(due) === '' ? never : Number(textOf(due)))
    const hasMore = full.length > 0 || [...share.open].some((lane) => share.isUsedUp(lane, eventsOf(got, lane)))
    return { got, full, hasMore }
  }

  async #runTake(partition: PartitionKeys, limits: readonly number[]): Promise<Reply> {
    const { session, group, name, now } = this.#options
    this.#touched.add(partition)
    this.#uncertain.add(partition)
    const args = [group, name, now(), ...limits, maxHeldEvents, this.#hasRate ? 1 : 0]
    const reply = await session.run('take', partition, partition.forGroup(group), args)
    this.#uncertain.delete(partition)
    return reply
  }

  #hold(partition: PartitionKeys, [lane, kind, id, attempt, value, first]: readonly Reply[]): Held {
    const { session, name } = this.#options
    const { topic, number } = partition
    const stream = { topic, partition: number, lane: laneOfNumber(numberOf(lane)) }
    const isAgain = textOf(kind) === 'again'
    const entryId = textOf(id)
    const place = placeOf(entryId)
    const { offset, endedAttempts, batch } = isAgain
      ? readAgain(countOfMember(entryId), value as Buffer)
      : { offset: place.offset, endedAttempts: 0, batch: readEntry(place.count, value) }
    if (!isAgain) {
      const entry = batch.damaged === true ? null : { id: entryId, checksum: checksumIn(value) }
      session.memoryOf(partition).noteEnd(stream.lane, place.offset + place.count, entry)
    }
    const delivery: Delivery = {
      id: `${name}-${++this.#deliveries}`,
      position: { stream, epoch: session.epoch, offset },
      batch,
      attempt: numberOf(attempt),
      isSuspect: numberOf(attempt) - endedAttempts > 1,
      isKeyed: isAgain && keyOfMember(entryId) !== null,
      isFirstLease: first === 1,
    }
    return { delivery, partition, kind: isAgain ? 'again' : 'lane', id: entryId, bytes: batch.bytes.length }
  }

  async #settle(partition: PartitionKeys, all: readonly Settlement[], refused: Set<Outcome>): Promise<void> {
    const { session, group, name, onSettled } = this.#options
    for (let from = 0; from < all.length; ) {
      const some = all.slice(from, from + settledByNextScript(all, from))
      const args = [group, name, ...some.flatMap(settleArguments)]
      try {
        const [answers, ledger] = listOf(await session.run('settle', partition, partition.forSettle(group), args))
        session.memoryOf(partition).noteLedgers([ledger!])
        for (const [index, { outcome }] of some.entries()) if (listOf(answers)[index] !== 1) refused.add(outcome)
        await this.#uncount(some.map(({ outcome }) => outcome).filter((outcome) => !refused.has(outcome)))
      } catch (thrown) {
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

  /** What is returned without an attempt does not count in the rate. */
  async #uncount(settled: readonly Outcome[]): Promise<void> {
    const { session, topic } = this.#options
    const known = session.registry.topics.get(topic)
    if (!this.#hasRate || known === undefined) return
    const returned = settled.flatMap(({ delivery, again = [] }) =>
      again.filter(({ attempt }) => attempt < delivery.attempt),
    )
    const events = returned.reduce((sum, { batch }) => sum + batch.count, 0)
    if (events > 0) await this.#count(known, -events).catch(() => {})
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
    const { sessions, group, name } = this.#options
    const here = [...this.#held.values()].filter((held) => held.partition === partition)
    const keep = here.map(({ kind, id, delivery }) =>
      kind === 'lane' ? `${laneNumber(delivery.position.stream.lane)}:${id}` : id,
    )
    await release(sessions, partition, group, name, { isGivenBack: true, keep })
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

/** Settles as the work does, or with an empty list when the signal aborts first. The work must heed the signal too. */
function emptyOnAbort(work: Promise<readonly Delivery[]>, signal: AbortSignal): Promise<readonly Delivery[]> {
  return new Promise((resolve, reject) => {
    const onAbort = () => resolve([])
    signal.addEventListener('abort', onAbort, { once: true })
    work.then(resolve, reject).finally(() => signal.removeEventListener('abort', onAbort))
  })
}
