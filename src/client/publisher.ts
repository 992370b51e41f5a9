// Publishes a flow of events over one Produce call at a time.
//
// Job: encode events as they are added, cut them into messages, bound what is unacknowledged, apply backpressure to the
// caller, and count the outcome of every event.
// Not its job: sending messages to a server and resending them (delivery.ts).
//
// When a message is cut: while nothing is unacknowledged, at the end of the caller's current turn, so that a lone event
// does not wait; otherwise when it is full or `lingerMs` old, so that a flow of events is sent in large messages.

import { type ErrorCode, MillraceError } from '../errors.ts'
import { type EventInput, EventStamper } from '../event/event-input.ts'
import { BatchBuilder } from '../event/record-batch.ts'
import { Delivery } from './delivery.ts'
import { ProduceMessageEncoder, refuseBadBatch } from './produce-message.ts'
import { type PublisherTotals, PublishTally } from './publish-tally.ts'
import { type PublisherOptions, withDefaults } from './publisher-options.ts'
import type { ServerConnection } from './server-connection.ts'

export interface PublisherClocks {
  /** Milliseconds since 1970. */
  readonly now: () => number
  /** A monotonic clock, in milliseconds. */
  readonly monotonicNow: () => number
  readonly random: () => number
}

/**
 * Publishes a flow of events with bounded memory and without loss: after a lost connection, unacknowledged events are
 * resent with the same ids and sequence numbers. The log recognises those, so nothing is stored twice.
 *
 * ```ts
 * const publisher = client.publisher({ overflow: 'wait' })
 * for (const order of orders) {
 *   if (!publisher.add({ type: 'order.placed', data: order })) await publisher.ready()
 * }
 * const { accepted, rejections } = await publisher.close()
 * ```
 */
export class Publisher {
  /** Names this publisher to the server. */
  readonly producerId: string
  readonly #builder = new BatchBuilder()
  readonly #stamper: EventStamper
  readonly #tally = new PublishTally()
  readonly #delivery: Delivery
  readonly #options: Required<PublisherOptions>
  readonly #encoder: ProduceMessageEncoder
  #linger: NodeJS.Timeout | undefined
  /** Set when the events in the builder have waited long enough. */
  #isDue = false
  #room: PromiseWithResolvers<void> | null = null
  #flushes: { readonly sequence: number; readonly done: PromiseWithResolvers<void> }[] = []
  #failure: MillraceError | null = null
  #closing: Promise<PublisherTotals> | null = null

  /** Use `client.publisher()`. */
  constructor(connection: ServerConnection, options: PublisherOptions, clocks: PublisherClocks) {
    this.#options = withDefaults(options)
    this.producerId = this.#options.producerId
    const { topic, overflow, maxUnackedMessages, giveUpAfterMs, stallAfterMs } = this.#options
    this.#stamper = new EventStamper(clocks.now)
    this.#encoder = new ProduceMessageEncoder(topic, overflow)
    this.#delivery = new Delivery(
      connection,
      {
        producerId: this.producerId,
        now: clocks.now,
        maxUnackedMessages,
        giveUpAfterMs,
        stallAfterMs: overflow === 'wait' ? null : stallAfterMs,
        monotonicNow: clocks.monotonicNow,
        random: clocks.random,
      },
      {
        onResponse: (ackedEvents, answer) => {
          const rejections = this.#tally.add(ackedEvents, answer)
          if (rejections.length > 0) this.#options.onRejections(rejections)
        },
        onRoom: () => this.#onRoom(),
        onCut: (error) => {
          this.#tally.forgetEarly()
          this.#options.onCut(error)
        },
        onFailed: (error) => this.#fail(error.code, error.message, error),
      },
    )
  }

  /**
   * Adds one event to be sent. Without an id it gets a UUIDv7, without a time the current time. The event is durable
   * only when it is acknowledged: see `flush()`, `close()` and `totals`.
   *
   * @returns false when the publisher is full: the event was added, but await `ready()` before adding the next.
   * @throws MillraceError `event_too_large`, `invalid_event` (data without a JSON form): this event was not added, the
   *   next one can be. `backlogged`: twice the limit is held because `ready()` was not awaited.
   *   `failed_precondition` after close(). Anything else: the publisher has given up, see `totals`.
   */
  add(event: EventInput): boolean {
    this.#refuseWhenOver()
    const parts = this.#stamper.stamp(event)
    this.#builder.add(parts)
    if (this.#builder.byteLength >= this.#options.maxMessageBytes) this.#cut()
    else if (this.#builder.count >= this.#options.maxMessageEvents) this.#cut()
    else if (this.#builder.count === 1) this.#startLinger()
    const isFull = this.#isFull
    // The caller will wait now, for room that only an acknowledgement of these events can make.
    if (isFull) this.#cut()
    return !isFull
  }

  /**
   * Adds a record batch that is already encoded (`encodeBatch`) and sends it as one message. The caller must not write
   * to its bytes afterwards. Returns and throws as `add`.
   *
   * @param count how many events it holds, 1 to 100,000.
   */
  addBatch(bytes: Uint8Array, count: number): boolean {
    this.#refuseWhenOver()
    refuseBadBatch(bytes, count)
    this.#cut()
    this.#send(bytes, count)
    return !this.#isFull
  }

  /** Resolves when there is room for more events. Rejects when the publisher has given up. */
  ready(): Promise<void> {
    if (this.#failure !== null) return Promise.reject(this.#failure)
    if (!this.#isFull) return Promise.resolve()
    this.#room ??= Promise.withResolvers()
    return this.#room.promise
  }

  /** Sends what is held and resolves when all of it is acknowledged. Rejects when the publisher has given up. */
  flush(): Promise<void> {
    if (this.#failure !== null) return Promise.reject(this.#failure)
    this.#cut()
    if (this.#delivery.window.isEmpty) return Promise.resolve()
    const done = Promise.withResolvers<void>()
    this.#flushes.push({ sequence: this.#delivery.window.lastSequence, done })
    return done.promise
  }

  /** Why the publisher has given up for good; null as long as it has not. */
  get failure(): MillraceError | null {
    return this.#failure
  }

  /** The outcomes of the events so far. */
  get totals(): PublisherTotals {
    const { unknownEvents, unsentEvents } = this.#delivery.window
    return this.#tally.totals(unknownEvents, unsentEvents + this.#builder.count)
  }

  /**
   * Sends what is held, waits for its acknowledgement and ends the call. A second call returns the same promise.
   *
   * @param options.signal Ends the wait, for example `AbortSignal.timeout(5000)`; without it this waits until
   * everything is
   *   acknowledged or the publisher gives up.
   * @throws MillraceError `cancelled` when the signal ended the wait, else the reason why the publisher gave up.
   * `totals`
   *   has the number of unknown events; publishing those again with the same ids is safe.
   */
  close(options: { readonly signal?: AbortSignal } = {}): Promise<PublisherTotals> {
    this.#closing ??= this.#close(options.signal)
    return this.#closing
  }

  async #close(signal: AbortSignal | undefined): Promise<PublisherTotals> {
    const giveUp = (): void => this.#fail('cancelled', 'the publisher was closed before all events were acknowledged')
    if (signal?.aborted === true) giveUp()
    signal?.addEventListener('abort', giveUp, { once: true })
    try {
      await this.flush()
      await this.#delivery.finish()
      return this.totals
    } finally {
      signal?.removeEventListener('abort', giveUp)
      clearTimeout(this.#linger)
      this.#delivery.abort()
    }
  }

  get #isFull(): boolean {
    const { window } = this.#delivery
    const heldBytes = window.byteLength + this.#builder.byteLength
    return window.messageCount >= this.#options.maxUnackedMessages || heldBytes >= this.#options.maxUnackedBytes
  }

  /**
   * Callers that share a publisher may exceed the limit up to twice; beyond that memory is at risk and events are
   * refused.
   */
  #refuseWhenOver(): void {
    if (this.#failure !== null) throw this.#failure
    if (this.#closing !== null) throw new MillraceError('failed_precondition', 'the publisher is closed')
    const { window } = this.#delivery
    const { maxUnackedMessages, maxUnackedBytes } = this.#options
    if (window.messageCount < 2 * maxUnackedMessages && window.byteLength < 2 * maxUnackedBytes) return
    throw new MillraceError('backlogged', 'the publisher is full: await ready() after add() has returned false')
  }

  #startLinger(): void {
    this.#isDue = false
    if (this.#delivery.window.isEmpty) {
      queueMicrotask(() => this.#cutWhenUseful())
      return
    }
    if (this.#linger !== undefined) this.#linger.refresh()
    else {
      this.#linger = setTimeout(() => {
        this.#isDue = true
        this.#cutWhenUseful()
      }, this.#options.lingerMs)
    }
  }

  /** While earlier messages cannot be written yet, events keep collecting. */
  #cutWhenUseful(): void {
    if (this.#builder.count === 0) return
    const { window } = this.#delivery
    if (window.isEmpty || (this.#isDue && !window.hasUnwritten)) this.#cut()
  }

  #cut(): void {
    const count = this.#builder.count
    if (count === 0) return
    this.#send(this.#builder.take(), count)
  }

  #send(events: Uint8Array, count: number): void {
    const sequence = this.#delivery.window.lastSequence + 1
    this.#delivery.send({ sequence, bytes: this.#encoder.encode(events, sequence), count })
  }

  #onRoom(): void {
    this.#cutWhenUseful()
    const { ackedThrough } = this.#delivery.window
    while (this.#flushes[0] !== undefined && this.#flushes[0].sequence <= ackedThrough) {
      this.#flushes.shift()?.done.resolve()
    }
    if (this.#room === null || this.#isFull) return
    this.#room.resolve()
    this.#room = null
  }

  #fail(code: ErrorCode, message: string, cause?: MillraceError): void {
    if (this.#failure !== null) return
    const { unknown, unsent } = this.totals
    const counts = `${unknown} events are unknown (sent, not acknowledged), ${unsent} were never sent`
    const failure = new MillraceError(code, `${message}; ${counts}`, { cause })
    this.#failure = failure
    this.#delivery.abort()
    clearTimeout(this.#linger)
    this.#room?.reject(failure)
    for (const flush of this.#flushes) flush.done.reject(failure)
    this.#room = null
    this.#flushes = []
  }
}
