// The log on Redis. All state is on the server, each partition in one slot, and only atomic scripts change it. This
// process keeps the order of its appends and the ids of the deliveries that its consumers hold
// (docs/decisions/0007-redis-log.md).

import { randomUUID } from 'node:crypto'
import { MillraceError } from '../../errors.ts'
import type { Durability } from '../../event/durability.ts'
import { lanes } from '../../event/event.ts'
import type { RecordBatch } from '../../event/record-batch.ts'
import { checkRegistration } from '../check-registration.ts'
import { checkReopened } from '../check-reopened.ts'
import type {
  Appended,
  AppendOptions,
  CommitStats,
  Consumer,
  DescribeOptions,
  EventLog,
  Flow,
  GroupLimits,
  HeldKey,
  LogDescription,
  Permits,
  ReadSettledOptions,
  Reopened,
  RetentionPolicy,
  SettledPage,
  StreamName,
  TakenPermits,
  TopicDeclaration,
  TopicDescription,
  Trimmed,
} from '../event-log.ts'
import {
  HeldPermits,
  maxSilentMs,
  maxUnfairMs,
  type PermitCall,
  permitPollMs,
  rateSlotMs,
  rateWindowMs,
  refuseOtherLimits,
} from '../held-permits.ts'
import { checkNumbers } from '../numbered-message.ts'
import type { Replies, StoredRequest } from '../replies.ts'
import type { CursorFound, CursorPlace, LogTail } from '../tail.ts'
import { untilAborted } from '../until-aborted.ts'
import { notReplicated } from './append/append-answers.ts'
import { AppendQueue, type AppendRequest, offsetsOf, resend } from './append/append-queue.ts'
import { isNoGroup, listOf, numberOf, type RedisConnection, textOf } from './connection/redis-connection.ts'
import type { Bells } from './consume/bells.ts'
import type { Inboxes } from './consume/inboxes.ts'
import type { MemberWatch } from './consume/member-watch.ts'
import { RedisConsumer } from './consume/redis-consumer.ts'
import { describeTopic, readMemory } from './describe-log.ts'
import type { BlockedLanes } from './guard/blocked-lanes.ts'
import type { DurabilityGuard } from './guard/durability-guard.ts'
import { laneNumber, type PartitionKeys, type RedisKeys } from './redis-keys.ts'
import { RedisTail } from './redis-tail.ts'
import type { RedisSession } from './session/redis-session.ts'
import type { Sessions } from './session/sessions.ts'
import { encodeAgain, placeOf, readEntry } from './stored-batch.ts'
import type { KnownTopic } from './topics/registry-content.ts'
import { groupNotFound } from './topics/topic-registry.ts'
import { TrimPlan } from './trim-plan.ts'

/** Max open consumers: more are a leak. */
const maxConsumers = 10_000

/** Limits of one script, which blocks the server while it runs. */
const maxPageBytes = 1024 * 1024
const entriesPerPage = 200
const keysPerPage = 1000
const trimmedPerScript = 50

export interface RedisLogOptions {
  readonly connection: RedisConnection
  readonly keys: RedisKeys
  readonly bells: Bells
  readonly inboxes: Inboxes
  readonly watch: MemberWatch
  readonly guard: DurabilityGuard
  readonly blockedLanes: BlockedLanes
  readonly sessions: Sessions
  /** What an accepted append is guaranteed to have reached. */
  readonly durability: Durability
  /** The wall clock, in milliseconds since 1970. */
  readonly now: () => number
  readonly onCommit: (stats: CommitStats) => void
}

export class RedisLog implements EventLog {
  readonly #options: RedisLogOptions
  readonly #consumers = new Set<RedisConsumer>()
  readonly #permits = new Set<HeldPermits>()
  readonly #queues = new Map<PartitionKeys, AppendQueue>()
  readonly #trims = new TrimPlan()
  readonly #tail: RedisTail
  /** Calls in flight: close() waits for them. */
  readonly #calls = new Set<Promise<unknown>>()
  #closed: Promise<void> | null = null

  readonly replies: Replies = {
    get: (topic, group, id) => this.#call(() => this.#findRequest(topic, group, id)),
    listen: (topic, inbox, listener) =>
      this.#call(async () => {
        const partition = await this.#partition({ topic, partition: 0, lane: 'normal' })
        return await this.#options.inboxes.listen(partition.inbox(inbox), listener)
      }),
  }

  readonly tail: LogTail = {
    cursorAt: (topic, place) => this.#call(() => this.#cursorAt(topic, place)),
    read: (...words) => this.#call(() => this.#tail.read(...words)),
  }

  /** Never resolves: a server that is unreachable may come back. */
  readonly failed: Promise<Error> = new Promise(() => {})

  constructor(options: RedisLogOptions) {
    this.#options = options
    this.#tail = new RedisTail({
      ...options,
      findTopic: (name, group) => this.#topic(name, group),
      refresh: () => this.#refresh(),
    })
  }

  declare(topic: string, declaration: TopicDeclaration): Promise<void> {
    return this.#call(() => this.#options.sessions.declare(topic, declaration))
  }

  append(name: StreamName, batches: readonly RecordBatch[], options: AppendOptions = {}): Promise<Appended> {
    const { signal } = options
    const appended = this.#call(() => {
      if (signal?.aborted === true) throw new MillraceError('cancelled', 'the append was cancelled before it began')
      // Synchronous when the partition is known: appends must be queued in call order.
      const known = this.#topics.get(name.topic)?.partitions[name.partition]
      if (known !== undefined) return this.#append(known, name, batches, options)
      return this.#partition(name).then((partition) => this.#append(partition, name, batches, options))
    })
    return signal === undefined || signal.aborted ? appended : untilAborted(appended, signal)
  }

  reopen(name: StreamName, group: string, batches: readonly Reopened[]): Promise<void> {
    return this.#call(async () => {
      const partition = await this.#partition(name, group)
      checkReopened(batches)
      if (batches.length === 0) return
      const args = batches.flatMap(({ batch, attempt, offset }) => {
        const record = encodeAgain({ offset, endedAttempts: attempt, batch })
        return [batch.count, attempt, batch.receivedAtMicros, batch.bytes.length, record]
      })
      const keys = partition.forReopen(group, name.lane)
      const words = [group, laneNumber(name.lane), ...args]
      const reopening = this.#within(async (session) => {
        const { reply, isReached } = await session.store('reopen', partition, keys, words)
        this.#options.sessions.refuseIfOver(session)
        if (!isReached) throw notReplicated()
        session.memoryOf(partition).noteLedgers(listOf(reply).slice(1))
      })
      await this.#ofGroup(name.topic, group, reopening)
    })
  }

  readSettled(name: StreamName, group: string, { fromOffset, maxBytes }: ReadSettledOptions): Promise<SettledPage> {
    return this.#call(async () => {
      const partition = await this.#partition(name, group)
      const keys = [partition.books, partition.stream(name.lane)]
      const args = [group, fromOffset, Math.min(maxBytes, maxPageBytes), entriesPerPage]
      const reading = this.#within(async (session) => {
        return { epoch: session.epoch, reply: await session.run('read-settled', partition, keys, args) }
      })
      const { epoch, reply } = await this.#ofGroup(name.topic, group, reading)
      const [next, ...entries] = listOf(reply)
      const nextOffset = numberOf(next)
      return {
        entries: entries.map((entry) => {
          const [id, fields] = listOf(entry)
          const { offset, count } = placeOf(textOf(id))
          return { position: { stream: name, epoch, offset }, batch: readEntry(count, fields) }
        }),
        nextOffset: nextOffset < 0 ? null : nextOffset,
      }
    })
  }

  heldKeys(name: StreamName, group: string): Promise<readonly HeldKey[]> {
    return this.#call(async () => {
      const partition = await this.#partition(name, group)
      const keys = partition.forHeldKeys(group, name.lane)
      const found = new Map<string, HeldKey>()
      for (let from: string | null = ''; from !== null; ) {
        const words: readonly (string | number)[] = [group, laneNumber(name.lane), from, keysPerPage]
        const reading = this.#within((session) => session.run('held-keys', partition, keys, words))
        const [next, ...page] = listOf(await this.#ofGroup(name.topic, group, reading))
        for (let at = 0; at < page.length; at += 3) {
          const key = textOf(page[at])
          const known = found.get(key)
          const facts = known ?? { attempt: Number(textOf(page[at + 1])), dueAtMs: Number(textOf(page[at + 2])) }
          found.set(key, { key, ...facts, events: (known?.events ?? 0) + 1 })
        }
        from = textOf(next) || null
      }
      return [...found.values()]
    })
  }

  release(name: StreamName, group: string, key: string, attempt: number | null): Promise<boolean> {
    return this.#call(async () => {
      const partition = await this.#partition(name, group)
      const words = [group, laneNumber(name.lane), key, attempt ?? '']
      const releasing = this.#within((session) =>
        session.run('release-key', partition, partition.forHeldKeys(group, name.lane), words),
      )
      return (await this.#ofGroup(name.topic, group, releasing)) === 1
    })
  }

  setFlow(topic: string, group: string, flow: Flow | null): Promise<void> {
    return this.#call(async () => {
      if (!(await this.#within(({ registry }) => registry.setFlow(topic, group, flow)))) {
        throw groupNotFound(topic, group)
      }
      this.#ring(topic)
    })
  }

  dropGroup(topic: string, group: string): Promise<number> {
    return this.#call(async () => {
      const events = await this.#options.sessions.drop(topic, group)
      if (events === null) throw groupNotFound(topic, group)
      // Entries that only this group had not settled can be trimmed now.
      for (const partition of this.#topics.get(topic)?.partitions ?? []) this.#trims.touched(partition)
      this.#ring(topic)
      return events
    })
  }

  consume(topic: string, group: string, { leaseMs }: { readonly leaseMs: number }): Promise<Consumer> {
    return this.#call(async () => {
      const { sessions, bells, watch, now } = this.#options
      await this.#topic(topic, group)
      const session = sessions.current
      if (this.#consumers.size >= maxConsumers) {
        throw new MillraceError(
          'failed_precondition',
          `${maxConsumers} consumers are open, which is the limit; close some`,
        )
      }
      const consumer: RedisConsumer = new RedisConsumer({
        ...{ sessions, session, bells, watch, now, topic, group, leaseMs },
        ...(await watch.join(topic, group, leaseMs)),
        refuseDropped: (thrown) => this.#refuseDropped(topic, group, thrown),
        onSettled: (partition) => this.#trims.touched(partition),
        onClosed: () => this.#consumers.delete(consumer),
      })
      this.#consumers.add(consumer)
      return consumer
    })
  }

  permits(
    topic: string,
    group: string,
    limits: GroupLimits,
    { leaseMs }: { readonly leaseMs: number },
  ): Promise<Permits> {
    return this.#call(async () => {
      const process = randomUUID()
      const { groupConcurrency = 0, ratePerSecond = 0, limitPerKey = 0 } = limits
      const words = [group, process, leaseMs, groupConcurrency, ratePerSecond, limitPerKey]
      const exchange = async ({ atWork, begun, most, least, isLast }: PermitCall): Promise<TakenPermits> => {
        const partition = await this.#partition({ topic, partition: 0, lane: 'normal' }, group)
        const bounds = [rateSlotMs, rateWindowMs, maxUnfairMs, maxSilentMs, permitPollMs]
        const args = [...words, atWork, begun, most, least, isLast ? 1 : 0, ...bounds]
        const keys = partition.forPermits(group)
        const exchanging = this.#within((session) => session.run('permits', partition, keys, args))
        const reply = listOf(await this.#ofGroup(topic, group, exchanging)).map(numberOf)
        const [taken, full, used, retryAfterMs] = reply as [number, number, number, number]
        if (taken < 0) {
          const [, groupConcurrency, ratePerSecond, limitPerKey] = reply as [number, number, number, number]
          refuseOtherLimits(group, limits, { groupConcurrency, ratePerSecond, limitPerKey })
        }
        const limit = full === 1 ? 'groupConcurrency' : 'ratePerSecond'
        return { taken, full: full === 0 ? null : { limit, used }, retryAfterMs }
      }
      const permits = new HeldPermits({ leaseMs, exchange, onClosed: () => this.#permits.delete(permits) })
      this.#permits.add(permits)
      return await permits.join()
    })
  }

  hasConsumers(topic: string, group: string): Promise<boolean> {
    return this.#call(async () => {
      try {
        await this.#topic(topic, group)
      } catch (thrown) {
        if (thrown instanceof MillraceError && thrown.code === 'not_found') return false
        throw thrown
      }
      return await this.#options.watch.findsConsumers(topic, group)
    })
  }

  announce(process: string, text: string, forMs: number): Promise<ReadonlyMap<string, string>> {
    return this.#call(async () => {
      const { connection, keys } = this.#options
      const found = listOf(await connection.run('announce', [keys.processes], [process, text, forMs])).map(textOf)
      return new Map(Array.from({ length: found.length / 2 }, (_, at) => [found[2 * at]!, found[2 * at + 1]!]))
    })
  }

  topics(): Promise<readonly string[]> {
    return this.#call(() =>
      this.#within(async ({ registry }) => {
        await registry.refresh()
        return [...registry.topics.keys()]
      }),
    )
  }

  describe(options: DescribeOptions = {}): Promise<LogDescription> {
    return this.#call(() => {
      const { connection, durability } = this.#options
      return this.#within(async (session) => {
        const { epoch, registry } = session
        await registry.refresh()
        const topics: TopicDescription[] = []
        for (const { name } of registry.topics.values()) topics.push(await this.#describe(name, session, options))
        return { driver: 'redis', epoch, durability, ...(await readMemory(connection.masters())), topics }
      })
    })
  }

  trim(topic: string, policy: RetentionPolicy): Promise<Trimmed> {
    return this.#call(async () => {
      const { partitions } = await this.#topic(topic)
      const { keepSinceMs, maxBytes } = policy
      const total = { entries: 0, events: 0, bytes: 0 }
      const trimOne = async (partition: PartitionKeys) => {
        const { books, streams } = partition
        const finishScan = this.#trims.begin(partition, policy)
        let oldestKeptMicros = Number.POSITIVE_INFINITY
        for (const [index, lane] of lanes.entries()) {
          for (let more = true; more && this.#closed === null; ) {
            const keys = [books, streams[index]!]
            const args = [lane, keepSinceMs * 1000, maxBytes, trimmedPerScript]
            const reply = listOf(await this.#within((session) => session.run('trim', partition, keys, args)))
            total.entries += numberOf(reply[0])
            total.events += numberOf(reply[1])
            total.bytes += numberOf(reply[2])
            more = reply[3] === 1
            const kept = textOf(reply[4])
            if (kept !== '') oldestKeptMicros = Math.min(oldestKeptMicros, Number(kept))
          }
        }
        finishScan(oldestKeptMicros)
      }
      // A partition that fails does not keep the others from being trimmed.
      const failures: unknown[] = []
      for (const partition of partitions) {
        if (this.#trims.isDue(partition, policy)) await trimOne(partition).catch((thrown) => failures.push(thrown))
      }
      if (failures.length > 0) throw failures[0]
      return total
    })
  }

  close(): Promise<void> {
    this.#closed ??= this.#close()
    return this.#closed
  }

  async #describe(name: string, session: RedisSession, options: DescribeOptions): Promise<TopicDescription> {
    const { registry } = session
    for (;;) {
      const topic = registry.topics.get(name)!
      try {
        // Entries held by dead consumers must not count as in flight.
        for (const group of topic.groups.keys()) await this.#options.watch.check(topic, group)
        return await describeTopic(session, topic, this.#options, options)
      } catch (thrown) {
        if (!isNoGroup(thrown)) throw thrown
        await registry.refresh()
        // NOGROUP is expected only when a group was dropped meanwhile; then describe the topic again.
        const left = registry.topics.get(name)!.groups
        if ([...topic.groups.keys()].every((group) => left.has(group))) throw thrown
      }
    }
  }

  async #close(): Promise<void> {
    this.#tail.close()
    await Promise.all(Array.from(this.#consumers, (consumer) => consumer.close()))
    await Promise.allSettled(this.#calls)
    await Promise.all(Array.from(this.#permits, (permits) => permits.close()))
    // Consumers that were being created while the others were closed.
    await Promise.all(Array.from(this.#consumers, (consumer) => consumer.close()))
    this.#options.guard.close()
    this.#options.connection.close()
  }

  #append(
    partition: PartitionKeys,
    stream: StreamName,
    batches: readonly RecordBatch[],
    { maxWaiting, producer, once }: AppendOptions,
  ): Promise<Appended> {
    if (producer !== undefined) checkNumbers(producer)
    if (once !== undefined) checkRegistration(stream, batches)
    if (batches.length === 0) return Promise.resolve({ positions: [], duplicate: false })
    let events = 0
    let bytes = 0
    for (const batch of batches) {
      events += batch.count
      bytes += batch.bytes.length
    }
    return new Promise((resolve, reject) => {
      const answer: AppendRequest['resolve'] = (first) => {
        if (first === null) return resolve(resend)
        const { epoch } = first
        this.#trims.touched(partition)
        const positions = offsetsOf(batches, first.offset).map((offset) => ({ stream, epoch, offset }))
        resolve({ positions, duplicate: false })
      }
      const request = { lane: stream.lane, batches, events, bytes, maxWaiting, producer, once, resolve: answer, reject }
      this.#queue(partition).add(request)
    })
  }

  #cursorAt(topic: string, place: CursorPlace): Promise<CursorFound> {
    const finding = this.#tail.cursorAt(topic, place)
    return typeof place === 'object' && 'settledBy' in place ? this.#ofGroup(topic, place.settledBy, finding) : finding
  }

  async #findRequest(topic: string, group: string, id: string): Promise<StoredRequest | null> {
    const name = { topic, partition: 0, lane: 'normal' } as const
    const partition = await this.#partition(name, group)
    const keys = [partition.books, partition.stream(name.lane), partition.request(id)]
    const finding = this.#within((session) => session.run('find-request', partition, keys, [group]))
    const found = await this.#ofGroup(topic, group, finding)
    if (found === null) return null
    const [stage, bytes] = listOf(found)
    return textOf(stage) === 'replied'
      ? { stage: 'replied', bytes: bytes as Buffer }
      : { stage: textOf(stage) as 'accepted' | 'started' }
  }

  #queue(partition: PartitionKeys): AppendQueue {
    const known = this.#queues.get(partition)
    if (known !== undefined) return known
    const { sessions, blockedLanes, onCommit } = this.#options
    const queue = new AppendQueue({ sessions, partition, blockedLanes, onStored: onCommit })
    this.#queues.set(partition, queue)
    return queue
  }

  /** The topics that this process knows. */
  get #topics(): ReadonlyMap<string, KnownTopic> {
    return this.#options.sessions.current.registry.topics
  }

  #within<T>(work: (session: RedisSession) => Promise<T>): Promise<T> {
    return this.#options.sessions.within(work)
  }

  /** Finds a topic; reads the registry when this process does not know the topic or the group. */
  async #topic(name: string, group?: string): Promise<KnownTopic> {
    const find = () => {
      const found = this.#topics.get(name)
      return found !== undefined && (group === undefined || found.groups.has(group)) ? found : undefined
    }
    const known = find()
    if (known !== undefined) return known
    await this.#refresh()
    const found = find()
    if (found !== undefined) return found
    if (group === undefined) throw new MillraceError('not_found', `there is no topic "${name}"`, { field: 'topic' })
    throw groupNotFound(name, group)
  }

  /** Wakes the consumers of this process, which may lack the right to subscribe to the bell channels. */
  #ring(topic: string): void {
    for (const partition of this.#topics.get(topic)?.partitions ?? []) this.#options.bells.ring(partition)
  }

  /** Awaits a script that works on a group. Errors: `not_found` when another process has dropped the group. */
  async #ofGroup<T>(topic: string, group: string, work: Promise<T>): Promise<T> {
    try {
      return await work
    } catch (thrown) {
      return await this.#refuseDropped(topic, group, thrown)
    }
  }

  /** Throws `not_found` when the error means that the group was dropped, else the error itself. */
  async #refuseDropped(topic: string, group: string, thrown: unknown): Promise<never> {
    if (!isNoGroup(thrown)) throw thrown
    await this.#refresh()
    if (this.#topics.get(topic)?.groups.has(group) === true) throw thrown
    throw groupNotFound(topic, group)
  }

  async #refresh(): Promise<void> {
    await this.#within(({ registry }) => registry.refresh())
  }

  async #partition({ topic: name, partition: number }: StreamName, group?: string): Promise<PartitionKeys> {
    let topic = await this.#topic(name, group)
    if (topic.partitions[number] === undefined) {
      await this.#refresh()
      topic = await this.#topic(name, group)
    }
    const partition = topic.partitions[number]
    if (partition !== undefined) return partition
    throw new MillraceError('not_found', `there is no partition ${number} of a topic "${name}"`, { field: 'topic' })
  }

  /** Runs a call that close() waits for. */
  #call<T>(work: () => Promise<T>): Promise<T> {
    if (this.#closed !== null) return Promise.reject(new MillraceError('unavailable', 'the log is closed'))
    let call: Promise<T>
    try {
      call = work()
    } catch (thrown) {
      return Promise.reject(thrown)
    }
    this.#calls.add(call)
    const end = () => this.#calls.delete(call)
    call.then(end, end)
    return call
  }
}
