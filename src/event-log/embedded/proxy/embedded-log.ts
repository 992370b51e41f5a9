// The embedded log in the caller's thread: turns the contract's methods into calls of the thread that owns log.db
// (docs/decisions/0002-embedded-log.md). It keeps no state of the log but a cache of recent entries.

import { randomBytes } from 'node:crypto'
import { MillraceError } from '../../../errors.ts'
import type { RecordBatch } from '../../../event/record-batch.ts'
import { checkDeclaration } from '../../check-declaration.ts'
import { checkRegistration } from '../../check-registration.ts'
import { checkReopened } from '../../check-reopened.ts'
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
  TopicDeclaration,
  Trimmed,
} from '../../event-log.ts'
import { HeldPermits } from '../../held-permits.ts'
import { checkNumbers } from '../../numbered-message.ts'
import { untilAborted } from '../../until-aborted.ts'
import { AppendQueue } from './append-queue.ts'
import { EmbeddedConsumer } from './embedded-consumer.ts'
import { EmbeddedReplies } from './embedded-replies.ts'
import { EmbeddedTail } from './embedded-tail.ts'
import { keptEntries } from './kept-entries.ts'
import type { LogCalls } from './log-calls.ts'
import { closed } from './log-failure.ts'
import { packOf } from './packed-batches.ts'
import { PermitBook } from './permit-book.ts'
import type { RecentEntries } from './recent-entries.ts'

/** More open consumers than this are a leak. */
const maxConsumers = 10_000

/** The disk is full when it has no room for a message of this size. */
const usualMessageBytes = 64 * 1024

export interface EmbeddedLogOptions {
  readonly calls: LogCalls
  readonly epoch: number
  readonly recent: RecentEntries
  /** The wall clock, in milliseconds since 1970. */
  readonly now: () => number
  readonly onCommit: (stats: CommitStats) => void
  /** Called when the disk is found to be full, and when it has space again. */
  readonly onDiskFull: (isFull: boolean) => void
  /** Called after closing, to release what is not part of the log files. */
  readonly onClosed: () => void
}

export class EmbeddedLog implements EventLog {
  readonly replies: EmbeddedReplies
  readonly tail: EmbeddedTail
  readonly #options: EmbeddedLogOptions
  readonly #appends: AppendQueue
  readonly #consumers = new Set<EmbeddedConsumer>()
  /** By topic and group. */
  readonly #permitBooks = new Map<string, PermitBook>()
  readonly #deliveryPrefix = randomBytes(6).toString('base64url')
  #lastCall = 0
  #isDiskFull = false
  #describing: Promise<unknown> = Promise.resolve()
  #nextDescription: Promise<LogDescription> | null = null
  #closed: Promise<void> | null = null

  constructor(options: EmbeddedLogOptions) {
    this.#options = options
    this.replies = new EmbeddedReplies(options.calls, options.now)
    this.tail = new EmbeddedTail(options.calls, () => ++this.#lastCall)
    this.#appends = new AppendQueue({ ...options, onRoom: (hasRoom) => this.#noteRoom(hasRoom) })
  }

  get failed(): Promise<Error> {
    return this.#options.calls.failed
  }

  async declare(topic: string, declaration: TopicDeclaration): Promise<void> {
    this.#options.calls.checkUsable()
    checkDeclaration(topic, declaration)
    await this.#options.calls.ask('declare', { topic, declaration })
  }

  append(stream: StreamName, batches: readonly RecordBatch[], options: AppendOptions = {}): Promise<Appended> {
    const { signal, producer, once } = options
    try {
      this.#options.calls.checkUsable()
      if (signal?.aborted === true) throw new MillraceError('cancelled', 'the append was cancelled before it began')
      if (producer !== undefined) checkNumbers(producer)
      if (once !== undefined) checkRegistration(stream, batches)
    } catch (thrown) {
      return Promise.reject(thrown)
    }
    const appended = this.#appends.append(stream, batches, options)
    return signal === undefined ? appended : untilAborted(appended, signal)
  }

  async reopen(stream: StreamName, group: string, batches: readonly Reopened[]): Promise<void> {
    const { calls } = this.#options
    calls.checkUsable()
    checkReopened(batches)
    const again = Float64Array.from(batches.flatMap(({ attempt, offset }) => [attempt, offset]))
    const packed = packOf(batches.map(({ batch }) => batch))
    this.#appends.flush()
    try {
      await calls.ask('reopen', { ...packed, stream, group, again }, [packed.bytes.buffer])
    } catch (thrown) {
      if (thrown instanceof MillraceError && thrown.code === 'disk_full') this.#noteRoom(false)
      throw thrown
    }
  }

  async readSettled(stream: StreamName, group: string, options: ReadSettledOptions): Promise<SettledPage> {
    const { calls, epoch } = this.#options
    calls.checkUsable()
    const { nextOffset, ...kept } = await calls.ask('readSettled', { stream, group, ...options })
    return { entries: keptEntries(kept, epoch, () => stream), nextOffset }
  }

  async heldKeys(stream: StreamName, group: string): Promise<readonly HeldKey[]> {
    this.#options.calls.checkUsable()
    return await this.#options.calls.ask('heldKeys', { stream, group })
  }

  async release(stream: StreamName, group: string, key: string, attempt: number | null): Promise<boolean> {
    this.#options.calls.checkUsable()
    return await this.#options.calls.ask('release', { stream, group, key, attempt })
  }

  async setFlow(topic: string, group: string, flow: Flow | null): Promise<void> {
    this.#options.calls.checkUsable()
    await this.#options.calls.ask('setFlow', { topic, group, flow })
  }

  async dropGroup(topic: string, group: string): Promise<number> {
    this.#options.calls.checkUsable()
    const events = await this.#options.calls.ask('drop', { topic, group })
    this.#permitBooks.delete(`${topic}/${group}`)
    return events
  }

  async consume(topic: string, group: string): Promise<Consumer> {
    const { calls, recent, epoch, now } = this.#options
    calls.checkUsable()
    const joining = calls.ask('join', { topic, group })
    if (this.#consumers.size >= maxConsumers) {
      const text = `${maxConsumers} consumers are open, which is the limit; close some`
      throw new MillraceError('failed_precondition', text)
    }
    const consumer = new EmbeddedConsumer({
      ...{ calls, recent, epoch, topic, now, replies: this.replies },
      ...{ consumer: await joining, deliveryPrefix: this.#deliveryPrefix },
      nextCall: () => ++this.#lastCall,
      onClosed: () => this.#consumers.delete(consumer),
    })
    if (this.#closed !== null) throw closed()
    this.#consumers.add(consumer)
    return consumer
  }

  async permits(topic: string, group: string, limits: GroupLimits): Promise<Permits> {
    const holder = {}
    const permits = new HeldPermits({
      leaseMs: Number.POSITIVE_INFINITY,
      exchange: async (call) => {
        const book = await this.#permitBook(topic, group)
        return book.exchange(group, holder, limits, call, performance.now())
      },
    })
    return await permits.join()
  }

  async hasConsumers(topic: string, group: string): Promise<boolean> {
    this.#options.calls.checkUsable()
    return await this.#options.calls.ask('hasConsumers', { topic, group })
  }

  async announce(process: string, text: string): Promise<ReadonlyMap<string, string>> {
    this.#options.calls.checkUsable()
    return new Map(text === '' ? [] : [[process, text]])
  }

  async topics(): Promise<readonly string[]> {
    this.#options.calls.checkUsable()
    return await this.#options.calls.ask('topics', null)
  }

  async describe(options: DescribeOptions = {}): Promise<LogDescription> {
    const { calls, now } = this.#options
    calls.checkUsable()
    const describe = () => calls.ask('describe', { ...options, skewMs: now() - Date.now() })
    if (options.auditsPaused === true) return await describe()
    // Calls made while an earlier description is in progress share the next one.
    if (this.#nextDescription === null) {
      this.#nextDescription = this.#describing.then(() => {
        this.#nextDescription = null
        return describe()
      })
      this.#describing = this.#nextDescription.catch(() => {})
    }
    return await this.#nextDescription
  }

  async trim(topic: string, policy: RetentionPolicy): Promise<Trimmed> {
    const { calls, now } = this.#options
    calls.checkUsable()
    return await calls.ask('trim', { topic, policy, nowMs: now() })
  }

  /** Finds out whether the disk is full although nothing is appended. */
  async checkRoom(): Promise<void> {
    // The thread that closes has no statements any more: the log would count as failed.
    if (this.#closed !== null) return
    this.#noteRoom(await this.#options.calls.ask('hasRoom', usualMessageBytes))
  }

  close(): Promise<void> {
    this.#closed ??= this.#close()
    return this.#closed
  }

  async #close(): Promise<void> {
    const { calls, onClosed } = this.#options
    calls.close()
    try {
      await Promise.all(Array.from(this.#consumers, (consumer) => consumer.close()))
      await Promise.all([this.#appends.drained(), this.#describing])
    } finally {
      await calls.end()
      onClosed()
    }
  }

  async #permitBook(topic: string, group: string): Promise<PermitBook> {
    const name = `${topic}/${group}`
    const known = this.#permitBooks.get(name)
    if (known !== undefined) return known
    // Finds out whether there is such a group.
    await (await this.consume(topic, group)).close()
    const book = this.#permitBooks.get(name) ?? new PermitBook()
    this.#permitBooks.set(name, book)
    return book
  }

  #noteRoom(hasRoom: boolean): void {
    if (hasRoom !== this.#isDiskFull) return
    this.#isDiskFull = !hasRoom
    this.#options.onDiskFull(this.#isDiskFull)
  }
}
