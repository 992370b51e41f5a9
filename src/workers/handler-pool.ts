// Runs a handler on the events of its group, each event by itself, or in batches that are not those of the log.
//
// Job: take events while places are free, run each, and settle an entry when all its events have ended: done, another
// attempt later, or a dead letter. An entry is not a unit of work: one with more events than places are free is cut
// before any of them begins, by settling it with all its events due now; no attempt is used.
// Not its job: reading (group-member.ts), settling (settlements.ts), what an attempt is (attempt.ts).

import { type Lane, lanes } from '../event/event.ts'
import { decodeEvent, EventReader } from '../event/record-batch.ts'
import type { Consumer, Delivery } from '../event-log/event-log.ts'
import { formatPosition } from '../event-log/position-text.ts'
import { withinMs } from '../lib/abort.ts'
import { type GroupState, runningState } from '../pipeline/group-state.ts'
import type { Logger } from '../telemetry/logger.ts'
import { traceFields } from '../telemetry/trace-context.ts'
import type { AttemptEnd } from './attempt.ts'
import { AttemptAbort } from './attempt-abort.ts'
import type { AttemptGate } from './attempt-gate.ts'
import { CallQueue } from './call-queue.ts'
import type { DeadLetters } from './dead-letters.ts'
import type { HandlerDefinition } from './define-handler.ts'
import type { DeliveryTimes } from './delivery-times.ts'
import { GroupMember, type GroupMemberOptions } from './group-member.ts'
import { GroupPermits } from './group-permits.ts'
import { type HandledEvent, toHandledEvent } from './handled-event.ts'
import { type AttemptParts, type Attempts, attemptsOf } from './handler-attempt.ts'
import { KeyLimit } from './key-limit.ts'
import { KeyOrder } from './key-order.ts'
import { LaneTurns } from './lane-turns.ts'
import { OpenDelivery } from './open-delivery.ts'
import type { Outage, Pool } from './pool.ts'
import { ReadAhead } from './read-ahead.ts'
import { skippedAttempts } from './release-action.ts'
import { delayOfAttempt } from './retry-policy.ts'
import { Settlements } from './settlements.ts'
import { compileTypePatterns } from './type-pattern.ts'

const mebibyte = 1024 * 1024

/** How long one read of the log waits for a first delivery. */
const maxReadMs = 10_000

/** How long handlers may still take that were told to stop; at most half of the drain time. */
const maxShutdownMs = 500

/** From this attempt on, and in its last one, a suspect event runs alone; an isolated handler's does so at once. */
const firstAttemptAlone = 3

/** Nothing more is taken while so many events have ended and cannot be settled. */
const maxUnsettledEvents = 1000

/** Nothing more is taken while so many events of an ordered group are in hand, or wait for others of their keys. */
const maxEventsInOrder = 1000

/** What waits in hand for a place is returned when none was freed for so long: another process may be free. */
const maxIdleInHandMs = 100

/** Nothing more is taken while events of so many bytes are in hand. */
const maxBytesInHand = 64 * mebibyte

const noEvents = { high: 0, normal: 0, low: 0 }

export interface HandlerPoolOptions extends Omit<GroupMemberOptions, 'topic' | 'group'>, AttemptParts {
  readonly handler: HandlerDefinition
  /** Max calls of the handler at once, now. */
  readonly concurrency: () => number
  /** How the handler is called; by default in this process. */
  readonly attemptsOf?: typeof attemptsOf
  /** Attempts before an event becomes a dead letter. */
  readonly maxAttempts: number
  readonly deadLetters: DeadLetters
  /** The process's gate; an isolated handler has one of its own within that. */
  readonly gate: AttemptGate
  /** Shared by all pools of the process. */
  readonly deliveryTimes: DeliveryTimes
}

/** An event that is to be worked on. */
interface Work {
  readonly open: OpenDelivery
  readonly index: number
  /** Called when its attempt has ended, though the handler may still run. */
  readonly onEnded: () => void
}

/** Each call has one event, when the handler takes no batches. */
const noBatch = { maxEvents: 1, maxWaitMs: 0 }

export class HandlerPool implements Pool {
  readonly #options: HandlerPoolOptions
  readonly #member: GroupMember
  readonly #attempts: Attempts
  readonly #isMine: (type: string) => boolean
  readonly #reader = new EventReader()
  readonly #laneTurns = new LaneTurns()
  /** Whether a free place is all that an event waits for. */
  readonly #isPlain: boolean
  readonly #readsAhead: boolean
  readonly #readAhead = new ReadAhead()
  #handTimer: NodeJS.Timeout | undefined
  #isStopping = false
  /** Whether the calls at work were told to end: nothing begins any more. */
  #hasAborted = false
  /** Ends a read of the log, which then has handed out nothing. */
  #reading = new AbortController()
  readonly #giveUp = new AbortController()
  /** Those whose events are at work. */
  readonly #atWork = new Set<OpenDelivery>()
  /** The lanes of suspect deliveries that were returned, to run with nothing beside them. */
  readonly #suspectLanes = new Set<Lane>()
  readonly #calls: CallQueue<Work>
  /** Null: the handler takes events in any order. */
  readonly #order: KeyOrder | null
  /** Null: any number of events of a key may be at work. */
  readonly #keyLimit: KeyLimit<Work> | null
  /** One for each call at work, with the consumer of its events. */
  readonly #aborts = new Map<AttemptAbort, Consumer>()
  /** Since when calls at work have ignored their signal. */
  readonly #ignoring = new Map<AttemptAbort, number>()
  readonly #permits: GroupPermits
  readonly #settlements: Settlements
  /** Bytes of the deliveries that are not settled. */
  #bytesInHand = 0
  #mayTake = Promise.withResolvers<void>()
  #running: Promise<void> | null = null
  #closed: Promise<void> | null = null

  constructor(options: HandlerPoolOptions) {
    const { handler } = options
    const { limits } = handler
    const { groupConcurrency = Number.POSITIVE_INFINITY } = limits
    this.#options = { ...options, concurrency: () => Math.min(options.concurrency(), groupConcurrency) }
    this.#member = new GroupMember({
      ...{ ...options, topic: handler.topic, group: handler.group },
      onVoid: (reason) => {
        for (const [abort, consumer] of this.#aborts) if (consumer !== this.#member.consumer) abort.abort(reason)
      },
    })
    this.#attempts = (options.attemptsOf ?? attemptsOf)(handler, options, () => {
      this.#calls.begin()
      this.#wake()
    })
    this.#isMine = compileTypePatterns(handler.types)
    this.#order = handler.ordered ? new KeyOrder() : null
    this.#keyLimit = limits.limitPerKey === undefined ? null : new KeyLimit(limits.limitPerKey)
    const { topic, group } = handler
    this.#settlements = new Settlements({
      ...{ ...options, topic, group, member: this.#member, signal: this.#giveUp.signal },
      onSettling: (open) => {
        for (const next of this.#order?.settling(open) ?? []) this.#settleWhenEnded(next)
      },
      onSettled: (open, isRecorded) => this.#noteSettled(open, isRecorded),
      onProgress: () => this.#wake(),
    })
    const onPermits = () => this.#calls.begin()
    this.#permits = new GroupPermits({ ...options, topic, group, limits, onPermits })
    const { concurrency } = this.#options
    this.#isPlain = this.#order === null && !this.#permits.isLimited && this.#keyLimit === null
    this.#readsAhead = handler.batch === null && this.#isPlain
    this.#calls = new CallQueue({
      ...(handler.batch ?? noBatch),
      concurrency,
      ahead: () => (this.#readsAhead ? this.#readAhead.events(concurrency()) : 0),
      mayBegin: (events) => this.#permits.begin(events),
      call: (works) => this.#call(works),
      onEnded: (works) => this.#freeLimits(works),
    })
  }

  get topic(): string {
    return this.#options.handler.topic
  }

  get group(): string {
    return this.#options.handler.group
  }

  get types(): readonly string[] {
    return this.#options.handler.types
  }

  get state(): GroupState {
    const outage = this.#outage
    if (outage !== null) return { is: 'outage', by: 'system', reason: outage.reason, sinceMs: outage.sinceMs }
    const ignoring = this.#ignoring.size
    if (ignoring === 0 && this.#fullOf !== null) {
      const reason = `${this.#fullOf}: nothing more is taken meanwhile`
      return { is: 'running', by: null, reason, sinceMs: null }
    }
    if (ignoring === 0) return { ...runningState, reason: this.#permits.reason }
    const reason = `${ignoring} of ${this.#options.concurrency()} places are held by attempts that go on after their time limit`
    return { is: 'running', by: null, reason, sinceMs: Math.min(...this.#ignoring.values()) }
  }

  get problem(): Pool['problem'] {
    const outage = this.#outage
    if (outage === null) return this.#member.problem
    return { reason: outage.code, message: `${this.group} of ${this.topic}: ${outage.reason}` }
  }

  get #outage(): Outage | null {
    return this.#settlements.outage ?? this.#attempts.outage
  }

  get takesWork(): boolean {
    return this.#member.canRead
  }

  async start(): Promise<void> {
    await this.#attempts.open()
    await this.#member.join()
    await this.#permits.join()
    this.#running = this.#run()
  }

  close(graceMs: number): Promise<void> {
    this.#closed ??= this.#close(graceMs)
    return this.#closed
  }

  async #close(graceMs: number): Promise<void> {
    const shutdownMs = Math.min(maxShutdownMs, graceMs / 2)
    this.#isStopping = true
    this.#reading.abort()
    clearTimeout(this.#handTimer)
    if (this.#options.handler.batch === null || !this.#isPlain) this.#returnUnbegun(this.#calls.takeBack())
    this.#returnUnbegun(this.#keyLimit?.takeBack() ?? [])
    this.#calls.end()
    this.#wake()
    const isLate = (await withinMs(this.#finished(), graceMs - shutdownMs, 'late')) === 'late'
    if (isLate) {
      this.#hasAborted = true
      for (const abort of this.#aborts.keys()) abort.abort('shutdown')
      await withinMs(this.#finished(), shutdownMs / 2, null)
      for (const open of this.#atWork) {
        this.#return(open, this.#options.now())
        this.#settleWhenEnded(open)
      }
      await withinMs(this.#finished(), shutdownMs / 2, null)
    }
    this.#giveUp.abort()
    await Promise.all([this.#permits.close(), this.#member.leave(), this.#attempts.close()])
  }

  /** Resolves when nothing is at work or unsettled. */
  async #finished(): Promise<void> {
    await this.#running
    while (this.#atWork.size > 0 || this.#settlements.events > 0) await this.#mayTake.promise
  }

  async #run(): Promise<void> {
    const { gate } = this.#options
    for (;;) {
      while (!this.#hasRoom && !this.#isStopping) {
        await this.#mayTake.promise
        // Places that are freed in one turn of the event loop are filled together: an entry is cut by the places.
        await new Promise((resolve) => setImmediate(resolve))
      }
      if (this.#isStopping) return
      const reading = new AbortController()
      this.#reading = reading
      const leave = await gate.enter(() => reading.abort())
      for (const delivery of await this.#take(reading.signal)) {
        if (await this.#knows(delivery)) this.#begin(this.#member.consumer, delivery)
      }
      leave()
      if (this.#readsAhead) this.#watchHand()
      if (this.#suspectLanes.size === 0 || this.#isStopping) continue
      this.#reading = new AbortController()
      await this.#permits.ready(1, this.#reading.signal)
      await gate.alone(() => this.#runSuspects())
    }
  }

  get #hasRoom(): boolean {
    const { events } = this.#settlements
    return this.#calls.freeCalls > 0 && this.#outage === null && events < maxUnsettledEvents && this.#fullOf === null
  }

  /** Which bound on what is in hand is reached, so that nothing more is taken; null when none is. */
  get #fullOf(): string | null {
    if (this.#bytesInHand >= maxBytesInHand)
      return `${Math.round(this.#bytesInHand / mebibyte)} MiB of events are in hand`
    const events = this.#eventsInOrder
    if (events < maxEventsInOrder) return null
    return `${events} events are in hand, which wait for earlier ones of their keys or entries`
  }

  /** Events in hand that wait for others of their keys, and in an ordered group all that are in hand. */
  get #eventsInOrder(): number {
    return this.#order?.events ?? this.#keyLimit?.waiting ?? 0
  }

  /** Resolves the waits for a free place. */
  #wake(): void {
    this.#mayTake.resolve()
    this.#mayTake = Promise.withResolvers()
  }

  /** Up to one event for each free place, by the weights of the lanes, else the most urgent ones; waits for the first. */
  async #take(signal: AbortSignal): Promise<readonly Delivery[]> {
    const free = Math.min(this.#calls.freeEvents, maxEventsInOrder - this.#eventsInOrder)
    const places = await this.#permits.ready(free, signal)
    if (places === 0) return []
    const wanted = [this.#laneTurns.share(places), ...lanes.map((lane) => ({ ...noEvents, [lane]: places }))]
    for (const maxEvents of wanted) {
      const startedAtMs = this.#options.monotonicNow()
      const found = await this.#member.next({ maxEvents, maxWaitMs: 0 }, signal)
      if (found.length > 0) this.#readAhead.noteRead(this.#options.monotonicNow() - startedAtMs)
      if (!signal.aborted) this.#laneTurns.note(maxEvents, new Set(found.map(({ position }) => position.stream.lane)))
      if (found.length > 0 || signal.aborted) return found
    }
    return await this.#member.next({ maxEvents: { high: 1, normal: 1, low: 1 }, maxWaitMs: maxReadMs }, signal)
  }

  /** Has asked the log for the keys that a delivery may be behind; false when the delivery is void. */
  async #knows(delivery: Delivery): Promise<boolean> {
    const { consumer } = this.#member
    if (this.#order?.isNew(consumer, delivery) !== true) return true
    const { stream } = delivery.position
    const heldKeys = await this.#member.heldKeys(stream, this.#giveUp.signal)
    if (heldKeys !== null) this.#order.learn(consumer, stream, heldKeys)
    return heldKeys !== null
  }

  /** Ends what cannot begin: events that are given up, and those of an entry that must be cut first. */
  #open(consumer: Consumer, delivery: Delivery): OpenDelivery {
    const { concurrency, maxAttempts, now } = this.#options
    const { batch, attempt, isSuspect } = delivery
    const open = new OpenDelivery(consumer, delivery, now(), this.#isMine)
    this.#bytesInHand += batch.bytes.length
    this.#order?.enter(open)
    const { size } = open.pending
    // More may wait in hand, but an entry is settled as a whole: a slow event would keep what waits in its entry.
    const places = this.#isForBatch(delivery) ? this.#calls.freeEvents : Math.min(this.#calls.freeCalls, concurrency())
    if (batch.damaged === true) open.giveUpDamaged()
    // One of its events has ended the process, perhaps: they go on apart.
    else if (size > 1 && isSuspect) this.#return(open, now())
    else if (this.#order === null && size > places) open.returnPending(Math.max(1, places), now())
    else if (attempt > maxAttempts) for (const index of open.pending.keys()) this.#exhaust(open, index)
    this.#atWork.add(open)
    return open
  }

  /** Ends an event that may not begin another attempt. */
  #exhaust(open: OpenDelivery, index: number): void {
    const { handler, maxAttempts } = this.#options
    const { attempt } = open.delivery
    const isSkipped = attempt > skippedAttempts
    if (!isSkipped && handler.onExhausted === 'hold') {
      this.#hold(open, index, true)
      return
    }
    const message = `the process ended in each of ${maxAttempts} attempts, or lost its lease`
    if (!isSkipped) open.giveUp(index, maxAttempts, { code: 'internal', message })
    else open.giveUp(index, attempt - skippedAttempts - 1, { code: 'cancelled', message: 'a person has skipped it' })
    this.#order?.ended(open, index)
  }

  #begin(consumer: Consumer, delivery: Delivery): void {
    const { gate, handler, maxAttempts } = this.#options
    const open = this.#open(consumer, delivery)
    const firstAlone = handler.isolate ? 1 : Math.min(firstAttemptAlone, maxAttempts)
    if (delivery.isSuspect && delivery.attempt >= firstAlone && !open.hasEnded) {
      // In hand it would lose an attempt to another one that ends the process. Due at 0, it is the next of its lane (dueAtOnce).
      this.#return(open, 0)
      this.#suspectLanes.add(delivery.position.stream.lane)
    }
    for (const index of open.pending.keys()) {
      gate.share()
      const work = { open, index, onEnded: () => gate.leave() }
      if (this.#admits(work)) this.#addCall(work)
    }
    this.#settleWhenEnded(open)
  }

  /** Whether an event may begin as far as its key is concerned; if not, it waits in hand or has been returned. */
  #admits(work: Work): boolean {
    return this.#order?.admit(work) ?? this.#keyLimit?.admit(work) ?? true
  }

  #freeLimits(works: readonly Work[]): void {
    this.#permits.end(works.length)
    for (const next of this.#keyLimit?.ended(works) ?? []) this.#addCall(next)
  }

  #addCall(work: Work): void {
    if (this.#isForBatch(work.open.delivery)) this.#calls.addToBatch(work)
    else this.#calls.addAlone(work)
  }

  /** Returns what has not ended, event by event. */
  #return(open: OpenDelivery, dueAtMs: number): void {
    if (this.#order === null) open.returnPending(1, dueAtMs)
    else this.#order.returnAll(open, dueAtMs)
  }

  #watchHand(): void {
    if (this.#handTimer !== undefined || this.#calls.waiting === 0 || this.#isStopping) return
    const { begun } = this.#calls
    this.#handTimer = setTimeout(() => {
      this.#handTimer = undefined
      if (this.#calls.begun > begun) return this.#watchHand()
      this.#readAhead.noteCall(maxIdleInHandMs)
      this.#returnUnbegun(this.#calls.takeBack())
    }, maxIdleInHandMs)
  }

  #returnUnbegun(works: readonly Work[]): void {
    if (this.#order !== null) {
      for (const open of this.#order.returnUnbegun(works)) this.#settleWhenEnded(open)
      return
    }
    for (const { open, index, onEnded } of works) {
      open.returnOne(index, this.#options.now())
      onEnded()
      this.#settleWhenEnded(open)
    }
  }

  /** What has failed in a batch is tried again by itself: which event was to blame is unknown. */
  #isForBatch({ attempt, isSuspect }: Delivery): boolean {
    return this.#options.handler.batch !== null && attempt === 1 && !isSuspect
  }

  /** Reads and runs one entry at a time, with nothing beside it in this process, while they are suspect. */
  async #runSuspects(): Promise<void> {
    const { signal } = this.#reading
    for (const lane of this.#suspectLanes) {
      for (let isSuspect = true; isSuspect && this.#hasRoom; ) {
        if (this.#options.gate.isCrowded) return
        await this.#settlements.idle()
        const [delivery] = await this.#member.next({ maxEvents: { ...noEvents, [lane]: 1 }, maxWaitMs: 0 }, signal)
        if (delivery === undefined || !(await this.#knows(delivery))) break
        const open = this.#open(this.#member.consumer, delivery)
        const ends = [...open.pending.keys()].map(
          (index) =>
            new Promise<void>((resolve) => {
              const work = { open, index, onEnded: resolve }
              if (this.#admits(work)) this.#calls.addAlone(work)
            }),
        )
        await Promise.all(ends)
        this.#settleWhenEnded(open)
        isSuspect = delivery.isSuspect
      }
    }
    this.#suspectLanes.clear()
  }

  async #call(formed: readonly Work[]): Promise<void> {
    // A stop returns what has not begun.
    const works = formed.filter(({ open, index }) => open.pending.has(index))
    if (works.length === 0 || this.#hasAborted) return
    const { attempt } = works[0]!.open.delivery
    const events = works.map(({ open, index }) => this.#read(open, index))
    const { deliveryTimes } = this.#options
    const numbers = works.map(({ open }, place) => this.#noteBegin(open, events[place]!))
    const abort = new AttemptAbort()
    this.#aborts.set(abort, works[0]!.open.consumer)
    const startedAtMs = this.#options.monotonicNow()
    const { ends, running } = await this.#attempts.attempt(events, {
      attempt,
      abort,
      logger: () => this.#loggerOf(events),
      encoded: () => works.map(({ open, index }) => open.pending.get(index)!),
    })
    if (!ends.some((end) => end.is === 'failed' && end.hasNotBegun))
      this.#readAhead.noteCall(this.#options.monotonicNow() - startedAtMs)
    for (const [place, work] of works.entries()) {
      work.onEnded()
      deliveryTimes.end(numbers[place]!, ends[place]!)
      this.#log(work, events[place]!, ends[place]!)
    }
    const { retriesLate } = this.#attempts
    if (running !== undefined && !retriesLate) await this.#waitForEnd(running, abort)
    this.#aborts.delete(abort)
    const isStopped = abort.reason === 'shutdown'
    for (const [place, { open, index }] of works.entries()) {
      const end = ends[place]!
      // What the stop has ended is not an attempt: it is returned.
      const isReturned = !open.pending.has(index) || (end.is === 'failed' && isStopped)
      if (!isReturned) this.#note(open, index, end)
      this.#settleWhenEnded(open)
    }
    if (running !== undefined && retriesLate) await this.#waitForEnd(running, abort)
    this.#wake()
  }

  #read(open: OpenDelivery, index: number): HandledEvent {
    const { bytes, receivedAtMicros } = open.pending.get(index)!
    const reader = this.#reader.reset(bytes)
    reader.next()
    return toHandledEvent(decodeEvent(bytes, reader.fields), receivedAtMicros)
  }

  #noteBegin({ delivery, handedOutAtMs, begun }: OpenDelivery, event: HandledEvent): number {
    const number = this.#options.deliveryTimes.begin({ to: this, event, attempt: delivery.attempt, handedOutAtMs })
    begun.push(number)
    return number
  }

  #loggerOf(events: readonly HandledEvent[]): Logger {
    const [first] = events as [HandledEvent]
    const own =
      events.length === 1 ? { id: first.id, ...traceFields(first.attributes.traceparent) } : { events: events.length }
    return this.#options.logger.child({ topic: this.topic, group: this.group, ...own })
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

  #note(open: OpenDelivery, index: number, end: AttemptEnd): void {
    const { handler, maxAttempts, now, random } = this.#options
    const { attempt } = open.delivery
    if (end.is === 'failed' && end.hasNotBegun === true) {
      this.#redeliver(open, index, (key) => open.returnOne(index, now(), key))
    } else if (end.is === 'failed' && attempt < maxAttempts) {
      const dueAtMs = now() + (end.afterMs ?? delayOfAttempt(attempt, handler, random()))
      this.#redeliver(open, index, (key) => open.tryAgain(index, { dueAtMs, isSuspect: end.isSuspect }, key))
    } else if (end.is === 'failed' && handler.onExhausted === 'hold') {
      this.#hold(open, index, end.isSuspect === true)
    } else {
      if (end.is === 'done') open.done(index)
      else open.giveUp(index, attempt, end)
      const next = this.#order?.ended(open, index)
      if (next !== undefined) this.#addCall(next)
    }
  }

  /** Holds an event, so that it has one more attempt when it is released. Without a key it is held under its id. */
  #hold(open: OpenDelivery, index: number, isSuspect: boolean): void {
    const { eventId } = this.#read(open, index)
    const attempt = Math.max(0, this.#options.maxAttempts - 1)
    this.#redeliver(open, index, (key = eventId) => open.hold(index, key, attempt, isSuspect))
  }

  /** @param redeliver is given the key, in an ordered group. */
  #redeliver(open: OpenDelivery, index: number, redeliver: (key?: string) => void): void {
    if (this.#order === null) redeliver()
    else for (const behind of this.#order.redeliver(open, index, redeliver)) this.#settleWhenEnded(behind)
  }

  #settleWhenEnded(open: OpenDelivery): void {
    if (!open.hasEnded || !this.#atWork.has(open) || this.#order?.maySettle(open) === false) return
    this.#atWork.delete(open)
    this.#settlements.add(open)
  }

  #noteSettled(open: OpenDelivery, isRecorded: boolean): void {
    this.#bytesInHand -= open.delivery.batch.bytes.length
    this.#order?.settled(open)
    if (isRecorded) this.#options.deliveryTimes.settle(open.begun)
  }
}
