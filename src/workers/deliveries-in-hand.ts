// The deliveries of a pool from when they are taken until they are settled: what comes of each event, and when all of a
// delivery have ended, its settlement.
//
// Not its job: when an event begins (handler-pool.ts), which may begin (begin-rule.ts), storing what has come of a
// delivery (settlements.ts).

import { decodeEvent, EventReader } from '../event/record-batch.ts'
import { compileTypePatterns } from '../event/type-pattern.ts'
import { type Consumer, type Delivery, dueAtOnce } from '../event-log/event-log.ts'
import type { ReplyToStore } from '../event-log/replies.ts'
import type { AttemptEnd } from './attempt.ts'
import type { BeginRule, EventInHand, Work } from './begin-rule.ts'
import type { HandlerDefinition } from './define-handler.ts'
import type { DeliveryTimes } from './delivery-times.ts'
import { type HandledEvent, toHandledEvent } from './handled-event.ts'
import { OpenDelivery } from './open-delivery.ts'
import { skippedAttempts } from './release-action.ts'
import { delayOfAttempt } from './retry-policy.ts'
import { Settlements, type SettlementsOptions } from './settlements.ts'

const mebibyte = 1024 * 1024

/** Nothing more is taken while so many events have ended and cannot be settled. */
const maxUnsettledEvents = 1000

/** Nothing more is taken while so many events of an ordered group are in hand, or wait for others of their keys. */
const maxEventsInOrder = 1000

/** Nothing more is taken while events of so many bytes are in hand. */
const maxBytesInHand = 64 * mebibyte

export interface DeliveriesInHandOptions
  extends Omit<SettlementsOptions, 'topic' | 'group' | 'onSettling' | 'onSettled'> {
  readonly handler: HandlerDefinition
  /** Attempts before an event becomes a dead letter. */
  readonly maxAttempts: number
  /** Only of requests: the reply to one that has ended, to be stored with its settlement. */
  readonly replyTo?: (request: HandledEvent, attempts: number, end: AttemptEnd) => ReplyToStore
  /** Only of requests: whether one is past its deadline, and skipped. */
  readonly skips?: (request: HandledEvent) => boolean
  readonly rule: BeginRule
  readonly deliveryTimes: DeliveryTimes
}

export class DeliveriesInHand {
  readonly #options: DeliveriesInHandOptions
  readonly #rule: BeginRule
  readonly #isMine: (type: string) => boolean
  readonly #reader = new EventReader()
  /** Those with events that have not ended. */
  readonly #atWork = new Set<OpenDelivery>()
  readonly #settlements: Settlements
  /** Bytes of the deliveries that are not settled. */
  #bytes = 0

  constructor(options: DeliveriesInHandOptions) {
    const { handler, rule } = options
    this.#options = options
    this.#rule = rule
    this.#isMine = compileTypePatterns(handler.types)
    this.#settlements = new Settlements({
      ...{ ...options, topic: handler.topic, group: handler.group },
      onSettling: (open) => rule.settling(open),
      onSettled: (open, isRecorded) => this.#noteSettled(open, isRecorded),
    })
  }

  get isEmpty(): boolean {
    return this.#atWork.size === 0 && this.#settlements.events === 0
  }

  /** How many events more may be taken in hand. */
  get freeEvents(): number {
    if (this.fullOf !== null || this.#settlements.events >= maxUnsettledEvents) return 0
    return maxEventsInOrder - this.#rule.events
  }

  /** Which bound on what is in hand is reached, so that nothing more is taken; null when none is. */
  get fullOf(): string | null {
    if (this.#bytes >= maxBytesInHand) return `${Math.round(this.#bytes / mebibyte)} MiB of events are in hand`
    const { events } = this.#rule
    if (events < maxEventsInOrder) return null
    return `${events} events are in hand, which wait for earlier ones of their keys or entries`
  }

  /** Why dead letters cannot be stored; null while they can. */
  get outage(): Settlements['outage'] {
    return this.#settlements.outage
  }

  /** Resolves when what is being settled now is. */
  idle(): Promise<void> {
    return this.#settlements.idle()
  }

  /**
   * Takes a delivery. Ends what cannot begin: events that are given up, those of an entry that must be cut first, and in a
   * group with a rate the requests past their deadline: they would use it up.
   * @param places how many of its events can begin now.
   */
  open(consumer: Consumer, delivery: Delivery, places: number): OpenDelivery {
    const { handler, maxAttempts, now } = this.#options
    const { batch, attempt, isSuspect } = delivery
    const open = new OpenDelivery(consumer, delivery, now(), this.#isMine)
    this.#bytes += batch.bytes.length
    this.#rule.enter(open)
    const { size } = open.pending
    if (batch.damaged === true) open.giveUpDamaged()
    // One of its events has ended the process, perhaps: they go on apart.
    else if (size > 1 && isSuspect) this.return(open, now())
    else if (size > places && !this.#rule.keepsEntries) open.returnPending(Math.max(1, places), now())
    else if (attempt > maxAttempts) for (const index of open.pending.keys()) this.#exhaust({ open, index })
    else if (handler.limits.ratePerSecond !== undefined) this.#skip(open)
    this.#atWork.add(open)
    return open
  }

  read({ open, index }: EventInHand): HandledEvent {
    const { bytes, receivedAtMicros } = open.pending.get(index)!
    const reader = this.#reader.reset(bytes)
    reader.next()
    return toHandledEvent(decodeEvent(bytes, reader.fields), receivedAtMicros, open.trace)
  }

  /** An attempt at an event has ended. */
  ended(event: EventInHand, end: AttemptEnd): void {
    const { handler, maxAttempts, now, random } = this.#options
    const { open, index } = event
    const { attempt } = open.delivery
    if (end.is === 'failed' && end.hasNotBegun === true) {
      this.#rule.redeliver(event, (key) => open.returnOne(index, now(), key))
    } else if (end.is === 'failed' && attempt < maxAttempts) {
      const dueAtMs = now() + (end.afterMs ?? delayOfAttempt(attempt, handler, random()))
      this.#rule.redeliver(event, (key) => open.tryAgain(index, { dueAtMs, isSuspect: end.isSuspect }, key))
    } else if (end.is === 'failed' && handler.onExhausted === 'hold') {
      this.#hold(event, end.isSuspect === true)
    } else {
      this.#reply(event, attempt, end)
      // A request that was refused has its answer: it was the caller's mistake, and becomes no dead letter.
      if (end.is === 'done' || (end.is === 'dead' && handler.request !== null)) open.done(index)
      else open.giveUp(index, attempt, end)
      this.#rule.ended(event)
    }
  }

  /** Settles a delivery when all its events have ended, and those before it in the order of their keys. */
  settle(open: OpenDelivery): void {
    if (!open.hasEnded || !this.#atWork.has(open) || !this.#rule.maySettle(open)) return
    this.#atWork.delete(open)
    this.#settlements.add(open)
  }

  /** Returns what has not ended of a delivery to the log, event by event and without an attempt. */
  return(open: OpenDelivery, dueAtMs: number): void {
    for (const index of open.pending.keys())
      this.#rule.redeliver({ open, index }, (key) => open.returnOne(index, dueAtMs, key))
  }

  /** Returns events that have not begun. */
  returnUnbegun(works: readonly Work[]): void {
    for (const work of works) {
      this.#rule.redeliver(work, (key) => work.open.returnOne(work.index, dueAtOnce, key))
      work.onEnded()
    }
    for (const { open } of works) this.settle(open)
  }

  /** Returns all that has not ended. */
  returnAll(): void {
    for (const open of this.#atWork) {
      this.return(open, this.#options.now())
      this.settle(open)
    }
  }

  #skip(open: OpenDelivery): void {
    const { skips } = this.#options
    if (skips === undefined) return
    for (const index of open.pending.keys()) {
      const event = { open, index }
      if (skips(this.read(event))) this.ended(event, { is: 'done' })
    }
  }

  /** Ends an event that may not begin another attempt. */
  #exhaust(event: EventInHand): void {
    const { handler, maxAttempts } = this.#options
    const { open, index } = event
    const { attempt } = open.delivery
    const isSkipped = attempt > skippedAttempts
    if (!isSkipped && handler.onExhausted === 'hold') {
      this.#hold(event, true)
      return
    }
    const message = `the process ended in each of ${maxAttempts} attempts, or lost its lease`
    const end = { is: 'failed', code: 'internal', message, afterMs: null } as const
    this.#reply(event, maxAttempts, end)
    if (!isSkipped) open.giveUp(index, maxAttempts, end)
    else open.giveUp(index, attempt - skippedAttempts - 1, { code: 'cancelled', message: 'a person has skipped it' })
    this.#rule.ended(event)
  }

  #reply(event: EventInHand, attempts: number, end: AttemptEnd): void {
    const { replyTo } = this.#options
    if (replyTo !== undefined) event.open.reply = replyTo(this.read(event), attempts, end)
  }

  /** Holds an event, so that it has one more attempt when it is released. Without a key it is held under its id. */
  #hold(event: EventInHand, isSuspect: boolean): void {
    const { open, index } = event
    const { eventId } = this.read(event)
    const attempt = Math.max(0, this.#options.maxAttempts - 1)
    this.#rule.redeliver(event, (key = eventId) => open.hold(index, key, attempt, isSuspect))
  }

  #noteSettled(open: OpenDelivery, isRecorded: boolean): void {
    this.#bytes -= open.delivery.batch.bytes.length
    this.#rule.settled(open)
    if (isRecorded) this.#options.deliveryTimes.settle(open.begun)
  }
}
