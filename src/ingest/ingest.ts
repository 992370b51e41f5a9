// Publishes producers' messages: checks every event, assigns it to a stream, appends it, and returns a verdict for
// each.
//
// Job: scan, slice, admit, append; the overflow policies; the retry hint. An event is answered as accepted only after
// the log has made it durable.
// Not its job: the wire (api/), what happens to an event afterwards (workers/).

import { randomInt } from 'node:crypto'
import { type ErrorCode, MillraceError, toMillraceError } from '../errors.ts'
import type { Durability } from '../event/durability.ts'
import { EventIdGenerator, type Lane, lanes } from '../event/event.ts'
import { IdReader } from '../event/id-reader.ts'
import { type IsClosed, MessageScanner } from '../event/message-scan.ts'
import type { PartitionBy } from '../event/partition-by.ts'
import type { AppendOptions, Backlog, EventLog, WaitingLimit } from '../event-log/event-log.ts'
import type { PublishMessage, PublishOptions, PublishVerdict, Rejection } from '../pipeline/pipeline.ts'
import { rejectedEvents, runsOf } from '../pipeline/rejections.ts'
import type { CounterSeries } from '../telemetry/metric-family.ts'
import type { Metrics } from '../telemetry/metrics.ts'
import type { MaybeTracer } from '../telemetry/tracing.ts'
import { DrainRate } from './drain-rate.ts'
import { FailingStreams } from './failing-streams.ts'
import { type MessageSlice, type Refusals, sliceMessage } from './slice-message.ts'
import { isRefusal, StreamGate } from './stream-gate.ts'
import { beginSpan, withTraceOf } from './trace-message.ts'

/** The share of the limit that each lane may fill: urgent events still find room when the other lanes are refused. */
export const laneShares: Readonly<Record<Lane, number>> = { high: 1, normal: 0.9, low: 0.8 }

/** The retry hint when the disk is full. */
const diskFullHintMs = 1000

export interface IngestTopic {
  readonly name: string
  readonly partitions: number
  readonly partitionBy: PartitionBy
}

export interface IngestOptions {
  readonly eventLog: EventLog
  readonly durability: Durability
  readonly topics: readonly IngestTopic[]
  /** The limit of what may wait in one partition; each lane may fill its share of it. Null: no limit. */
  readonly maxWaiting: WaitingLimit | null
  readonly metrics: Metrics
  /** Default null. */
  readonly tracer?: MaybeTracer
  /** The wall clock, in milliseconds since 1970. */
  readonly now: () => number
  /** A monotonic clock, in milliseconds. */
  readonly monotonicNow: () => number
}

interface Topic extends IngestTopic {
  /** One for each stream: partition * 3 + lane index. */
  readonly gates: readonly StreamGate[]
  readonly drainRate: DrainRate
  readonly received: CounterSeries
  /** One for each lane. */
  readonly accepted: readonly CounterSeries[]
  /** The partition of the last message's events without a key: messages rotate through the partitions. */
  nextPartition: number
}

export class Ingest {
  readonly #options: IngestOptions
  readonly #topics = new Map<string, Topic>()
  readonly #scanner = new MessageScanner()
  readonly #ids: EventIdGenerator
  readonly #newId: () => string
  readonly #limitOfLane: readonly (WaitingLimit | null)[]
  readonly #failing = new FailingStreams()
  #draining = false
  #running = 0
  /** Resolved once it drains and nothing runs any more. */
  readonly #idle = Promise.withResolvers<void>()

  constructor(options: IngestOptions) {
    this.#options = options
    this.#ids = new EventIdGenerator(options.now)
    this.#newId = () => this.#ids.next()
    const { maxWaiting } = options
    this.#limitOfLane = lanes.map(
      (lane) =>
        maxWaiting && {
          maxEvents: Math.floor(maxWaiting.maxEvents * laneShares[lane]),
          maxBytes: Math.floor(maxWaiting.maxBytes * laneShares[lane]),
        },
    )
    for (const { name, partitions, partitionBy } of options.topics) {
      const gates = Array.from({ length: partitions * lanes.length }, (_, index) => {
        const lane = lanes[index % lanes.length]!
        const stream = { topic: name, partition: Math.floor(index / lanes.length), lane }
        return new StreamGate(options.eventLog, stream, options.monotonicNow)
      })
      this.#topics.set(name, {
        name,
        partitions,
        partitionBy,
        gates,
        drainRate: new DrainRate(),
        received: options.metrics.eventsReceived.with({ topic: name }),
        accepted: lanes.map((lane) => options.metrics.eventsAccepted.with({ topic: name, lane })),
        nextPartition: randomInt(partitions),
      })
    }
  }

  /** See Pipeline.publish. The scan and the appends happen before the first await, so calls keep their order. */
  async publish(message: PublishMessage, options: PublishOptions = {}): Promise<PublishVerdict> {
    if (this.#draining) throw drainingError()
    const topic = this.#topics.get(message.topic)
    if (topic === undefined) {
      throw new MillraceError(
        'not_found',
        `topic "${message.topic.slice(0, 64)}" is not declared; this server has ${[...this.#topics.keys()].join(', ')}`,
        { field: 'topic' },
      )
    }
    const { partitions } = topic
    const keylessPartition = this.#keylessPartition(topic, message)
    const refusals = refusalsNow(topic, message)
    const isClosed: IsClosed | null =
      refusals &&
      ((laneIndex, hash) => {
        const partition = hash === null ? keylessPartition : hash % partitions
        return refusals[partition * lanes.length + laneIndex] !== null
      })
    const scan = this.#scanner.scan(message.message, topic.partitionBy, isClosed)
    const received = scan.count
    const { metrics, now, tracer = null } = this.#options
    topic.received.add(received)
    const rejections: Rejection[] = scan.refusals
    for (const { code } of rejections) metrics.eventsRejected.add(1, { topic: topic.name, code })
    let slices = sliceMessage(scan, {
      partitions,
      keylessPartition,
      refusals,
      receivedAtMicros: now() * 1000,
      newId: this.#newId,
    })
    const span = tracer === null || slices.length === 0 ? null : beginSpan(tracer, topic.name, slices, message.trace)
    const trace = span === null ? message.trace : span.context
    if (trace !== undefined) slices = withTraceOf(trace, slices)
    this.#running++
    try {
      const dropped = await this.#appendAll(topic, slices, message, options, rejections)
      rejections.sort((a, b) => a.index - b.index)
      const accepted = received - dropped - rejectedEvents(rejections)
      span?.end(accepted === 0 ? (rejections[0] ?? null) : null)
      return { accepted, dropped, rejections, durability: this.#options.durability }
    } catch (thrown) {
      span?.end(toMillraceError(thrown))
      throw thrown
    } finally {
      if (--this.#running === 0 && this.#draining) this.#idle.resolve()
    }
  }

  /** What fails for producers now, with an error code as its reason; null when nothing does. */
  get problem(): { readonly reason: ErrorCode; readonly message: string } | null {
    return this.#failing.problem(this.#options.monotonicNow())
  }

  /** Refuses new messages and those that wait for room; resolves when every running call has its answer. Idempotent. */
  drain(): Promise<void> {
    this.#draining = true
    for (const { gates } of this.#topics.values()) for (const gate of gates) gate.endWaits(drainingError())
    if (this.#running === 0) this.#idle.resolve()
    return this.#idle.promise
  }

  /**
   * A numbered message must go to the same partition when it is resent, so that it is recognised there; other messages
   * rotate through the partitions.
   */
  #keylessPartition(topic: Topic, message: PublishMessage): number {
    if (topic.partitions === 1) return 0
    if (message.producer !== undefined) return message.producer.sequence % topic.partitions
    topic.nextPartition = (topic.nextPartition + 1) % topic.partitions
    return topic.nextPartition
  }

  /** Appends every slice; adds to the rejections and returns how many events were dropped. */
  #appendAll(
    topic: Topic,
    slices: readonly MessageSlice[],
    message: PublishMessage,
    options: PublishOptions,
    rejections: Rejection[],
  ): Promise<number> {
    // Nearly every message has one slice, which needs no further promise.
    if (slices.length === 1) return this.#appendOne(topic, slices[0]!, message, options, rejections)
    return this.#appendSeveral(topic, slices, message, options, rejections)
  }

  /**
   * Waits for all slices, even when one has failed, so that none is still in flight afterwards. When some are accepted
   * and others certainly are not, the events of those are rejected; but the outcome of a numbered message is then
   * unknown, because its resend must be able to append them.
   */
  async #appendSeveral(
    topic: Topic,
    slices: readonly MessageSlice[],
    message: PublishMessage,
    options: PublishOptions,
    rejections: Rejection[],
  ): Promise<number> {
    const outcomes = await Promise.allSettled(
      slices.map((slice) => this.#appendOne(topic, slice, message, options, rejections)),
    )
    let dropped = 0
    const failed: { readonly slice: MessageSlice; readonly error: MillraceError }[] = []
    for (const [index, outcome] of outcomes.entries()) {
      if (outcome.status === 'fulfilled') dropped += outcome.value
      else failed.push({ slice: slices[index]!, error: toMillraceError(outcome.reason) })
    }
    const first = failed.find(({ error }) => error.outcomeUnknown) ?? failed[0]
    if (first === undefined) return dropped
    if (first.error.outcomeUnknown || failed.length === slices.length) throw first.error
    if (message.producer !== undefined) {
      const fence = failed.find(({ error }) => error.highestProducerEpoch !== undefined)?.error
      if (fence !== undefined) throw withStoredPart(fence)
      const text = `a part of the message was not accepted: ${first.error.message}; send the message again`
      throw new MillraceError('unavailable', text, { cause: first.error })
    }
    for (const { slice, error } of failed) this.#reject(topic, slice, message, error, error.retryAfterMs, rejections)
    return dropped
  }

  async #appendOne(
    topic: Topic,
    slice: MessageSlice,
    message: PublishMessage,
    options: PublishOptions,
    rejections: Rejection[],
  ): Promise<number> {
    const gate = topic.gates[slice.partition * lanes.length + slice.laneIndex]!
    if (slice.refusal !== null) return this.#refuse(topic, slice, message, slice.refusal, rejections)
    const limit = this.#limitOfLane[slice.laneIndex]!
    const appendOptions: AppendOptions = { maxWaiting: limit ?? undefined, producer: message.producer }
    const maxWaitMs = message.overflow === 'wait' ? (options.maxWaitMs ?? Number.POSITIVE_INFINITY) : 0
    try {
      await gate.append(slice.batches, appendOptions, { maxWaitMs, signal: options.signal, onWait: options.onWait })
      topic.accepted[slice.laneIndex]!.add(slice.count)
      this.#failing.worked(gate.name)
      return 0
    } catch (error) {
      this.#failing.failed(gate.name, error, this.#options.monotonicNow())
      if (!isRefusal(error)) throw error
      return this.#refuse(topic, slice, message, error, rejections)
    }
  }

  /** Drops or rejects a slice for which there is no room; returns how many events were dropped. */
  #refuse(
    topic: Topic,
    slice: MessageSlice,
    message: PublishMessage,
    refusal: MillraceError,
    rejections: Rejection[],
  ): number {
    if (message.overflow === 'drop') {
      this.#options.metrics.eventsDropped.add(slice.count, { topic: topic.name })
      return slice.count
    }
    this.#reject(topic, slice, message, refusal, this.#hintMs(topic, slice, refusal), rejections)
    return 0
  }

  /** Adds a rejection for each run of consecutive events of the slice. */
  #reject(
    topic: Topic,
    { indexes, count: events }: MessageSlice,
    message: PublishMessage,
    error: MillraceError,
    retryAfterMs: number | undefined,
    rejections: Rejection[],
  ): void {
    const { code } = error
    this.#options.metrics.eventsRejected.add(events, { topic: topic.name, code })
    const ids = new IdReader(message.message)
    const hint = retryAfterMs === undefined ? {} : { retryAfterMs }
    for (const { index, count } of indexes === null ? [{ index: 0, count: events }] : runsOf(indexes)) {
      const same = { index, code, message: error.message, ...hint }
      rejections.push(count === 1 ? { ...same, id: ids.idOf(index) } : { ...same, id: '', count })
    }
  }

  #hintMs(topic: Topic, slice: MessageSlice, refusal: MillraceError): number {
    if (refusal.code === 'disk_full') return diskFullHintMs
    const limit = this.#limitOfLane[slice.laneIndex]!
    const backlog = refusal.cause as Backlog
    const excessEvents = limit === null ? 0 : backlog.waitingEvents + slice.count - limit.maxEvents
    return topic.drainRate.hintMs(backlog, Math.max(excessEvents, slice.count), this.#options.monotonicNow())
  }
}

/**
 * The refusals of streams that take no events of this message now; null when the log decides on all of it. It always
 * does on a numbered message, because a resend that is stored must be answered as accepted.
 */
function refusalsNow({ gates }: Topic, { overflow, producer }: PublishMessage): Refusals | null {
  if (overflow === 'wait' || producer !== undefined) return null
  if (gates.every((gate) => gate.refusal === null)) return null
  return gates.map((gate) => gate.refusal)
}

/** When a message goes into several streams, only some of them may know the higher epoch. */
function withStoredPart({ code, message, highestProducerEpoch, field, cause }: MillraceError): MillraceError {
  const text = `${message}; a part of the message is stored under its own epoch`
  return new MillraceError(code, text, { field, highestProducerEpoch, cause })
}

function drainingError(): MillraceError {
  return new MillraceError('draining', 'the server is stopping: publish to another server, or retry later')
}
