// The calls of a handler that are at work: each with its abort, its times and its place in the log.
//
// Not its job: what an attempt is (attempt.ts), when a call begins (call-queue.ts), what comes of its events
// (deliveries-in-hand.ts).

import { requestTypeOf } from '../event/request.ts'
import type { TraceContext } from '../event/trace-context.ts'
import type { Consumer } from '../event-log/event-log.ts'
import { formatPosition } from '../event-log/position-text.ts'
import type { Logger } from '../telemetry/logger.ts'
import { traceFields } from '../telemetry/trace-context.ts'
import type { AttemptEnd } from './attempt.ts'
import { AttemptAbort } from './attempt-abort.ts'
import type { Work } from './begin-rule.ts'
import type { AbortReason } from './define-handler.ts'
import type { DeliveriesInHand } from './deliveries-in-hand.ts'
import type { BegunDelivery, DeliveryTimes } from './delivery-times.ts'
import type { HandledEvent } from './handled-event.ts'
import type { Attempts } from './handler-attempt.ts'

export interface HandlerCallsOptions {
  readonly to: BegunDelivery['to']
  readonly attempts: Attempts
  readonly hand: DeliveriesInHand
  readonly deliveryTimes: DeliveryTimes
  readonly logger: Logger
  /** The wall clock, in milliseconds since 1970. */
  readonly now: () => number
  /** A monotonic clock, in milliseconds. */
  readonly monotonicNow: () => number
  /** Called with how long a call took that has begun. */
  readonly onCall: (ms: number) => void
  /** Called when a call has ended. */
  readonly onEnded: () => void
}

export class HandlerCalls {
  readonly #options: HandlerCallsOptions
  /** One for each call at work, with the consumer of its events. */
  readonly #aborts = new Map<AttemptAbort, Consumer>()
  /** Since when calls at work have ignored their signal. */
  readonly #ignoring = new Map<AttemptAbort, number>()
  #isStopped = false

  constructor(options: HandlerCallsOptions) {
    this.#options = options
  }

  /** How many calls go on though they were aborted, and since when; null when none does. */
  get ignoring(): { readonly calls: number; readonly sinceMs: number } | null {
    if (this.#ignoring.size === 0) return null
    return { calls: this.#ignoring.size, sinceMs: Math.min(...this.#ignoring.values()) }
  }

  /** Aborts the calls whose events another consumer than this one took. */
  abortVoid(consumer: Consumer, reason: AbortReason): void {
    for (const [abort, ownConsumer] of this.#aborts) if (ownConsumer !== consumer) abort.abort(reason)
  }

  /** Aborts all calls. From now on none begins. */
  stop(): void {
    this.#isStopped = true
    for (const abort of this.#aborts.keys()) abort.abort('shutdown')
  }

  /** Calls the handler. Never rejects; its place is free when it resolves. */
  async call(formed: readonly Work[]): Promise<void> {
    // A stop returns what has not begun.
    const works = formed.filter(({ open, index }) => open.pending.has(index))
    if (works.length === 0 || this.#isStopped) return
    const { attempts, hand, deliveryTimes, monotonicNow, onCall, onEnded } = this.#options
    const { attempt } = works[0]!.open.delivery
    const events = works.map((work) => hand.read(work))
    const numbers = works.map((work, place) => this.#noteBegin(work, events[place]!))
    const abort = new AttemptAbort()
    this.#aborts.set(abort, works[0]!.open.consumer)
    const startedAtMs = monotonicNow()
    const { ends, running } = await attempts.attempt(events, {
      attempt,
      abort,
      logger: (trace) => this.#loggerOf(events, trace),
      encoded: () => works.map(({ open, index }) => open.forWorker(index)),
    })
    if (!ends.some((end) => end.is === 'failed' && end.hasNotBegun)) onCall(monotonicNow() - startedAtMs)
    for (const [place, work] of works.entries()) {
      work.onEnded()
      deliveryTimes.end(numbers[place]!, ends[place]!)
      this.#log(work, events[place]!, ends[place]!)
    }
    if (running !== undefined && !attempts.retriesLate) await this.#waitForEnd(running, abort)
    this.#aborts.delete(abort)
    const isStopped = abort.reason === 'shutdown'
    for (const [place, work] of works.entries()) {
      const end = ends[place]!
      // What the stop has ended is not an attempt: it is returned.
      const isReturned = !work.open.pending.has(work.index) || (end.is === 'failed' && isStopped)
      if (!isReturned) hand.ended(work, end)
      hand.settle(work.open)
    }
    if (running !== undefined && attempts.retriesLate) await this.#waitForEnd(running, abort)
    onEnded()
  }

  #noteBegin({ open: { delivery, handedOutAtMs, begun } }: Work, event: HandledEvent): number {
    const { deliveryTimes, to } = this.#options
    const number = deliveryTimes.begin({ to, event, attempt: delivery.attempt, handedOutAtMs })
    begun.push(number)
    return number
  }

  #loggerOf(events: readonly HandledEvent[], trace?: TraceContext): Logger {
    const { logger, to } = this.#options
    const [first] = events as [HandledEvent]
    const id = requestTypeOf(to.topic) === null ? 'id' : 'request_id'
    const isSingle = events.length === 1
    const own = isSingle ? { [id]: first.id } : { events: events.length }
    const traceparent = trace?.traceparent ?? (isSingle ? first.attributes.traceparent : undefined)
    return logger.child({ topic: to.topic, group: to.group, ...own, ...traceFields(traceparent) })
  }

  /** Keeps the place of a handler that has ignored its signal. */
  async #waitForEnd(running: Promise<unknown>, abort: AttemptAbort): Promise<void> {
    this.#ignoring.set(abort, this.#options.now())
    await running
    this.#ignoring.delete(abort)
  }

  #log({ open, index }: Work, event: HandledEvent, end: AttemptEnd): void {
    if (end.is === 'done') return
    const { attempt, position } = open.delivery
    const place = formatPosition({ ...position, offset: position.offset + index })
    const isExpected = end.is === 'failed' && (end.wasAsked === true || end.hasNotBegun === true)
    const level = isExpected ? 'debug' : 'warn'
    const line = { position: place, attempt, code: end.code }
    this.#loggerOf([event])[level](line, `the handler ended with ${end.is}: ${end.message}`)
  }
}
