// The embedded log: two threads and one file. This thread holds the state of streams and groups and makes the
// decisions; the other thread owns log.db and executes one transaction at a time (docs/decisions/0002-embedded-log.md).

import { randomBytes } from 'node:crypto'
import { MillraceError } from '../../errors.ts'
import { lanes } from '../../event/event.ts'
import type { RecordBatch } from '../../event/record-batch.ts'
import { checkReopened } from '../check-reopened.ts'
import {
  type Appended,
  type AppendOptions,
  type Consumer,
  type EventLog,
  type LogDescription,
  producerWindow,
  type ReadSettledOptions,
  type Reopened,
  type RetentionPolicy,
  type SettledPage,
  type StreamName,
  type TopicDeclaration,
  type Trimmed,
} from '../event-log.ts'
import { untilAborted } from '../until-aborted.ts'
import { overLimit } from './admission.ts'
import { checkDeclaration } from './declare-plan.ts'
import { describeLog } from './describe-log.ts'
import { EmbeddedConsumer } from './embedded-consumer.ts'
import { findGroup, findPart, findPartition } from './find-place.ts'
import type { GroupCommit } from './group-commit.ts'
import { closed, diskFull, unknownOutcome } from './log-failure.ts'
import type { LogState, PartitionState } from './log-state.ts'
import { type NumberedMessage, PendingAppend } from './pending-append.ts'
import { readSettled } from './read-settled.ts'
import type { StreamState } from './stream-state.ts'
import type { LogThread } from './thread-protocol.ts'
import { Turns } from './turns.ts'

/** More open consumers than this are a leak. */
const maxConsumers = 10_000

const resend: Appended = Object.freeze({ positions: [], duplicate: true })

export interface EmbeddedLogOptions {
  readonly thread: LogThread
  readonly state: LogState
  readonly groupCommit: GroupCommit
  /** The present size of the files, in bytes; null when unknown. */
  readonly usedBytes: () => number | null
  /** Called after closing, to release what is not part of the log files. */
  readonly onClosed: () => void
}

export class EmbeddedLog implements EventLog {
  readonly #options: EmbeddedLogOptions
  readonly #consumers = new Set<EmbeddedConsumer>()
  /** Serialises trimming steps, audits, reads of settled entries and group drops. */
  readonly #turns = new Turns()
  /** Distinguishes the delivery ids of this opening from those of an earlier one. */
  readonly #deliveryPrefix = randomBytes(6).toString('base64url')
  #deliveries = 0
  #nextDescription: Promise<LogDescription> | null = null
  #closed: Promise<void> | null = null

  constructor(options: EmbeddedLogOptions) {
    this.#options = options
  }

  get failed(): Promise<Error> {
    return this.#options.groupCommit.failed
  }

  async declare(topic: string, declaration: TopicDeclaration): Promise<void> {
    this.#checkUsable()
    checkDeclaration(topic, declaration)
    await new Promise<void>((resolve, reject) => {
      this.#options.groupCommit.declare({ topic, declaration, resolve, reject })
    })
  }

  append(name: StreamName, batches: readonly RecordBatch[], options: AppendOptions = {}): Promise<Appended> {
    const { signal } = options
    try {
      this.#checkUsable()
      if (signal?.aborted === true) throw new MillraceError('cancelled', 'the append was cancelled before it began')
      const partition = findPartition(this.#options.state, name)
      const appended = this.#append(partition, partition.streams[name.lane], batches, options)
      return signal === undefined ? appended : untilAborted(appended, signal)
    } catch (thrown) {
      return Promise.reject(thrown)
    }
  }

  async reopen(name: StreamName, group: string, batches: readonly Reopened[]): Promise<void> {
    this.#checkUsable()
    const { state, groupCommit } = this.#options
    const part = findPart(state, name, group)
    checkReopened(batches)
    let events = 0
    let bytes = 0
    for (const { batch } of batches) {
      events += batch.count
      bytes += batch.bytes.length
    }
    if (events === 0) return
    await new Promise<void>((resolve, reject) => {
      groupCommit.reopen({ part, own: part.own[name.lane], batches, events, bytes, resolve, reject })
    })
  }

  async readSettled(name: StreamName, group: string, options: ReadSettledOptions): Promise<SettledPage> {
    this.#checkUsable()
    const { thread, state } = this.#options
    const cursor = findPart(state, name, group).unread[name.lane]
    return this.#turns.take(() => this.#reading(() => readSettled(thread, cursor, state.epoch, options)))
  }

  async setPaused(topic: string, group: string, reason: string | null): Promise<void> {
    this.#checkUsable()
    const { state, groupCommit } = this.#options
    const found = findGroup(state, topic, group)
    await new Promise<void>((resolve, reject) => groupCommit.pause({ group: found, reason, resolve, reject }))
  }

  async dropGroup(topic: string, group: string): Promise<number> {
    this.#checkUsable()
    // Not between the steps of an audit, and not while the group's settled entries are read.
    return this.#turns.take(() => {
      this.#checkUsable()
      const { state, groupCommit } = this.#options
      const found = findGroup(state, topic, group)
      return new Promise<number>((resolve, reject) => groupCommit.drop({ group: found, resolve, reject }))
    })
  }

  async consume(topic: string, group: string): Promise<Consumer> {
    this.#checkUsable()
    const { state, groupCommit } = this.#options
    const groupState = findGroup(state, topic, group)
    if (this.#consumers.size >= maxConsumers) {
      throw new MillraceError(
        'failed_precondition',
        `${maxConsumers} consumers are open, which is the limit; close some`,
      )
    }
    const consumer = new EmbeddedConsumer({
      groupCommit,
      group: groupState,
      epoch: state.epoch,
      nextDeliveryId: () => `${this.#deliveryPrefix}-${++this.#deliveries}`,
      onClosed: () => this.#consumers.delete(consumer),
    })
    this.#consumers.add(consumer)
    return consumer
  }

  async describe(): Promise<LogDescription> {
    this.#checkUsable()
    // Calls made while an earlier description is in progress share the next one.
    this.#nextDescription ??= this.#turns.take(() => {
      this.#nextDescription = null
      const { thread, state, usedBytes } = this.#options
      return this.#reading(() => describeLog(thread, state, usedBytes))
    })
    return this.#nextDescription
  }

  async trim(topic: string, policy: RetentionPolicy): Promise<Trimmed> {
    this.#checkUsable()
    const topicState = this.#options.state.topics.get(topic)
    if (topicState === undefined) {
      throw new MillraceError('not_found', `there is no topic "${topic}"`, { field: 'topic' })
    }
    const total = { entries: 0, events: 0, bytes: 0 }
    for (const { streams } of topicState.partitions) {
      for (const lane of lanes) {
        for (let more = true; more && this.#closed === null; ) {
          const step = await this.#turns.take(() => this.#trimStep(streams[lane], policy))
          total.entries += step.entries
          total.events += step.events
          total.bytes += step.bytes
          more = step.more
        }
      }
    }
    return total
  }

  close(): Promise<void> {
    this.#closed ??= this.#close()
    return this.#closed
  }

  #append(
    partition: PartitionState,
    stream: StreamState,
    batches: readonly RecordBatch[],
    { maxWaiting, producer }: AppendOptions,
  ): Promise<Appended> {
    const known = producer === undefined ? undefined : stream.producers.get(producer.id)
    if (producer !== undefined && known !== undefined) {
      const { sequence } = producer
      const undecided = known.undecided.get(sequence)
      if (undecided !== undefined) {
        return new Promise((resolve, reject) => undecided.follow(() => resolve(resend), reject))
      }
      if (known.isTooOld(sequence)) throw tooOld(producer.id, sequence)
      if (known.window.has(sequence)) {
        this.#options.state.producers.use(stream, producer.id)
        return Promise.resolve(resend)
      }
    }
    let events = 0
    let bytes = 0
    for (const batch of batches) {
      events += batch.count
      bytes += batch.bytes.length
    }
    if (events === 0) return Promise.resolve({ positions: [], duplicate: false })
    const { groupCommit } = this.#options
    const refusal =
      stream.refusal ??
      (groupCommit.isWaitingForRoom ? diskFull() : null) ??
      (maxWaiting === undefined ? null : overLimit(partition, { events, bytes }, maxWaiting))
    if (refusal !== null) throw refuseInOrder(stream, refusal)
    const message = producer === undefined ? null : this.#number(stream, producer)
    return new Promise((resolve, reject) => {
      groupCommit.append(new PendingAppend({ partition, stream, batches, events, bytes, message, resolve, reject }))
    })
  }

  #number(stream: StreamState, { id, sequence }: { readonly id: string; readonly sequence: number }): NumberedMessage {
    if (!Number.isSafeInteger(sequence) || sequence < 0) {
      throw new MillraceError(
        'internal',
        `the sequence of producer "${id}" is ${sequence}; it must be a whole number from 0 to 2^53 - 1`,
      )
    }
    return { producer: this.#options.state.producers.use(stream, id), sequence }
  }

  /** Runs a read from the file. When it fails, the log has failed. */
  async #reading<T>(read: () => Promise<T>): Promise<T> {
    this.#checkNotFailed()
    try {
      return await read()
    } catch (thrown) {
      this.#options.groupCommit.fail(thrown)
      throw unknownOutcome(thrown)
    }
  }

  #trimStep(stream: StreamState, { keepSinceMs, maxBytes }: RetentionPolicy): Promise<Trimmed & { more: boolean }> {
    this.#checkNotFailed()
    const { state, groupCommit } = this.#options
    const settledBelow = state.settledByAllBelow(stream.name)
    if (settledBelow <= stream.trimmedBelow) {
      return Promise.resolve({ entries: 0, events: 0, bytes: 0, more: false })
    }
    return new Promise((resolve, reject) => {
      groupCommit.trim({ stream, settledBelow, keepSinceMicros: keepSinceMs * 1000, maxBytes, resolve, reject })
    })
  }

  async #close(): Promise<void> {
    const { thread, groupCommit, onClosed } = this.#options
    try {
      await Promise.all(Array.from(this.#consumers, (consumer) => consumer.close()))
      await this.#turns.take(() => groupCommit.drained())
      if (groupCommit.failure === null) await thread.call('close', null)
    } finally {
      await thread.close()
      onClosed()
    }
  }

  #checkUsable(): void {
    this.#checkNotFailed()
    if (this.#closed !== null) throw closed()
  }

  #checkNotFailed(): void {
    const { failure } = this.#options.groupCommit
    if (failure !== null) throw unknownOutcome(failure)
  }
}

/** Makes the stream also refuse the appends that are made before the caller of this one can know of the refusal. */
function refuseInOrder(stream: StreamState, refusal: MillraceError): MillraceError {
  if (stream.refusal === null) {
    stream.refusal = refusal
    // Runs before any reaction to the rejected promise, because it is queued first.
    queueMicrotask(() => {
      stream.refusal = null
    })
  }
  return refusal
}

function tooOld(id: string, sequence: number): MillraceError {
  return new MillraceError(
    'out_of_range',
    `sequence ${sequence} of producer "${id}" is ${producerWindow} or more behind its latest; whether it is stored is unknown`,
    { field: 'sequence' },
  )
}
