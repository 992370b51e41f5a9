// One member of a group. What it holds is on record on the server under its name, with the attempt; here is kept only what
// is needed to settle it.
//
// Waiting is looking again, where the plan says so (look-plan.ts). An answer that was lost may have handed out something
// that nobody knows of: before the next look it is given back.

import { MillraceError } from '../../errors.ts'
import { type Lane, lanes } from '../../event/event.ts'
import type { Again, Consumer, Delivery, NextOptions, Outcome } from '../event-log.ts'
import type { BellListener } from './bell-listener.ts'
import { EpochOver, type Epochs } from './epochs.ts'
import { HandOutRoom, type Part } from './hand-out-room.ts'
import { LookPlan } from './look-plan.ts'
import { MemberWatch, release } from './member-watch.ts'
import { listOf, numberOf, type Reply, textOf } from './redis-connection.ts'
import { laneNumber, laneOfNumber, type PartitionKeys } from './redis-keys.ts'
import { checksumIn, countOfMember, encodeAgain, placeOf, readAgain, readEntry } from './stored-batch.ts'
import type { KnownTopic } from './topic-registry.ts'

/** What one script settles; the server does nothing else while it runs. */
const maxSettledPerScript = 200
const maxAgainBytesPerScript = 4 * 1024 * 1024

export interface RedisConsumerOptions {
  readonly epochs: Epochs
  readonly bells: BellListener
  readonly watch: MemberWatch
  /** The topic as it is known now: partitions may be added. */
  readonly topic: () => KnownTopic
  readonly group: string
  /** Unlike that of any other consumer. */
  readonly name: string
  readonly leaseMs: number
  /** The wall clock, in milliseconds since 1970. */
  readonly now: () => number
  /** Throws `not_found` when what was thrown means that the group was dropped, else what was thrown. */
  readonly refuseDropped: (thrown: unknown) => Promise<never>
  /** Ends the beat. */
  readonly leave: () => Promise<void>
  readonly onSettled: (partition: PartitionKeys) => void
  readonly onClosed: (consumer: RedisConsumer) => void
}

/** A delivery that is in this consumer's hands. */
interface Held {
  readonly delivery: Delivery
  readonly partition: PartitionKeys
  readonly kind: 'lane' | 'again'
  /** The entry's id, or its member in the group's own stream. */
  readonly id: string
  /** What it takes on the server. */
  readonly bytes: number
}

/** What a partition was found to have. */
interface Look {
  readonly got: readonly Held[]
  /** The lanes whose next entry had no room. */
  readonly full: readonly Lane[]
  readonly hasMore: boolean
}

const never = Number.POSITIVE_INFINITY

export class RedisConsumer implements Consumer {
  readonly #options: RedisConsumerOptions
  readonly #held = new Map<string, Held>()
  /** Settlements that are under way: their deliveries are not in `#held`, and not to be given back either. */
  readonly #settling = new Set<Promise<unknown>>()
  readonly #touched = new Set<PartitionKeys>()
  /** Partitions in which this consumer may hold what it does not know of. */
  readonly #uncertain = new Set<PartitionKeys>()
  readonly #plan: LookPlan
  readonly #stop = new AbortController()
  /** What is held was handed out in it. */
  #epoch: number
  #isWaiting = false
  #working: Promise<unknown> = Promise.resolve()
  #firstPartition = 0
  /** Of the last look that failed. */
  #failure: unknown = null
  #deliveries = 0
  #closed: Promise<void> | null = null

  constructor(options: RedisConsumerOptions) {
    this.#options = options
    this.#epoch = options.epochs.epoch
    const { bells, now } = options
    const hears = (partition: PartitionKeys) => bells.hears(partition)
    this.#plan = new LookPlan({ bell: options.topic().bell, hears, now })
  }

  async next(options: NextOptions): Promise<readonly Delivery[]> {
    if (this.#closed !== null) throw new MillraceError('failed_precondition', 'the consumer is closed')
    if (this.#isWaiting) throw new MillraceError('internal', 'next() was called while an earlier call was waiting')
    if (options.signal?.aborted === true) return []
    this.#isWaiting = true
    const giveUp = AbortSignal.any([this.#stop.signal, ...(options.signal === undefined ? [] : [options.signal])])
    const earlier = this.#working
    const working = (async () => {
      await earlier.catch(() => {})
      return this.#wait(options, giveUp).catch(this.#options.refuseDropped)
    })()
    this.#working = working
    try {
      return await untilGivenUp(working, giveUp)
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
      // What cannot be given back others take when the beat has been missing for a lease.
      await release(epochs, partition, group, name, { isGivenBack: true }).catch(() => {})
    }
    await leave().catch(() => {})
    onClosed(this)
  }

  async #wait({ maxEvents, maxWaitMs }: NextOptions, giveUp: AbortSignal): Promise<readonly Delivery[]> {
    const { watch, topic, group, leaseMs } = this.#options
    const endsAtMs = performance.now() + maxWaitMs
    const open = new Set(lanes.filter((lane) => maxEvents[lane] > 0))
    for (let isFirst = true; ; isFirst = false) {
      if (giveUp.aborted) return []
      const known = topic()
      this.#listen(known)
      const heard = known.bell.rung
      // What cannot be seen now is seen later; what can be had is had all the same.
      await watch.look(known, group, leaseMs).catch(() => {})
      // Who does not wait cannot be called by the bell; and what was away may be back.
      const isTime = (each: PartitionKeys) => isFirst && (maxWaitMs <= 0 || this.#plan.isAway(each))
      const partitions = this.#inTurn(known).filter((each) => isTime(each) || this.#plan.restMs(each, open) === 0)
      const taken = await this.#take(known, partitions, maxEvents, giveUp)
      if (taken.length > 0) return taken
      const leftMs = endsAtMs - performance.now()
      if (leftMs <= 0) return []
      const rests = open.size === 0 ? [] : known.partitions.map((each) => this.#plan.restMs(each, open))
      await known.bell.wait(heard, Math.min(leftMs, MemberWatch.everyMs(leaseMs), ...rests), giveUp)
    }
  }

  /** Hears the bells of the partitions from now on. */
  #listen({ bell, partitions }: KnownTopic): void {
    for (const partition of partitions) this.#options.bells.listen(bell, partition)
  }

  /** The partitions, beginning with the one whose turn it is. */
  #inTurn({ partitions }: KnownTopic): readonly PartitionKeys[] {
    const first = this.#firstPartition % partitions.length
    return [...partitions.slice(first), ...partitions.slice(0, first)]
  }

  /**
   * Takes a share from each of the partitions at once, then what there is still room for from those that have more, one
   * after the other.
   */
  async #take(
    topic: KnownTopic,
    partitions: readonly PartitionKeys[],
    maxEvents: Readonly<Record<Lane, number>>,
    giveUp: AbortSignal,
  ): Promise<readonly Delivery[]> {
    const { epochs } = this.#options
    this.#forgetEpoch()
    const epoch = this.#epoch
    const room = new HandOutRoom(maxEvents)
    const got: Held[] = []
    let rest = partitions
    const share = room.share(partitions.length)
    if (partitions.length > 1 && !room.isOver && share.open.size === room.all().open.size) {
      const looks = await Promise.all(partitions.map((partition) => this.#look(topic, partition, share, epoch)))
      for (const look of looks) takeIn(look, room, got)
      rest = partitions.filter((_, index) => looks[index]!.hasMore)
    }
    for (const partition of rest) {
      if (giveUp.aborted || room.isOver) break
      const look = await this.#look(topic, partition, room.all(), epoch)
      takeIn(look, room, got)
      for (const lane of look.full) room.close(lane)
    }
    if (giveUp.aborted) {
      await this.#giveBack(got)
      return []
    }
    // What was taken is of an epoch that is over.
    if (epoch !== epochs.epoch) return this.#take(topic, partitions, maxEvents, giveUp)
    if (got.length === 0 && topic.partitions.every((each) => this.#plan.isAway(each))) throw this.#failure
    if (got.length > 0) this.#firstPartition++
    for (const held of got) this.#held.set(held.delivery.id, held)
    return got.map(({ delivery }) => delivery)
  }

  /** Takes from one partition what it has, as far as there is room; nothing when it cannot be asked. */
  async #look(topic: KnownTopic, partition: PartitionKeys, part: Part, epoch: number): Promise<Look> {
    const heard = topic.bell.rungAt(partition)
    let reply: Reply
    try {
      await this.#clear(partition)
      reply = await this.#askFor(epoch, partition, part.limits)
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
    else this.#plan.foundNothing(partition, heard, part.open, textOf(due) === '' ? never : Number(textOf(due)))
    const hasMore = full.length > 0 || [...part.open].some((lane) => part.isUsedUp(lane, eventsOf(got, lane)))
    return { got, full, hasMore }
  }

  /** Goes over to the next epoch; answers why it could not, or null. */
  async #begin(over: EpochOver): Promise<unknown> {
    try {
      await this.#options.epochs.begin(over)
      return null
    } catch (thrown) {
      return thrown
    }
  }

  /** What was handed out in an epoch that is over is not held any more; what the server still has of it is given back. */
  #forgetEpoch(): void {
    const { epoch } = this.#options.epochs
    if (epoch === this.#epoch) return
    this.#epoch = epoch
    this.#held.clear()
    for (const partition of this.#touched) this.#uncertain.add(partition)
  }

  async #askFor(epoch: number, partition: PartitionKeys, limits: readonly number[]): Promise<Reply> {
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
          // Nobody holds anything of it any more.
          for (const { outcome } of all.slice(from)) refused.add(outcome)
          await epochs.begin(thrown)
          return
        }
        // Whether it is settled is unknown: the caller may try again, and is refused when it was.
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

  /** Gives back what came too late for its caller. */
  async #giveBack(got: readonly Held[]): Promise<void> {
    for (const { partition } of got) this.#uncertain.add(partition)
    for (const partition of new Set(got.map((held) => held.partition))) await this.#clear(partition)
  }

  /** Gives back what this consumer holds in a partition without knowing of it. */
  async #clear(partition: PartitionKeys): Promise<void> {
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

function takeIn(look: Look, room: HandOutRoom, got: Held[]): void {
  for (const held of look.got) room.took(held.delivery.position.stream.lane, held.delivery.batch.count, held.bytes)
  got.push(...look.got)
}

function eventsOf(got: readonly Held[], wanted: Lane): number {
  let events = 0
  for (const { delivery } of got) if (delivery.position.stream.lane === wanted) events += delivery.batch.count
  return events
}

/** How many settlements from here go into one script: those of one delivery always do. */
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

/** Settles as the work does, or with nothing when the signal aborts first. The work knows of the signal too. */
function untilGivenUp(work: Promise<readonly Delivery[]>, signal: AbortSignal): Promise<readonly Delivery[]> {
  return new Promise((resolve, reject) => {
    const onAbort = () => resolve([])
    signal.addEventListener('abort', onAbort, { once: true })
    work.then(resolve, reject).finally(() => signal.removeEventListener('abort', onAbort))
  })
}
