// Runs a handler on the events of its group, each event by itself, or in batches that are not those of the log.
//
// Job: take events while places are free, and begin each as soon as its rule lets it. An entry is not a unit of work: one
// with more events than places are free is cut before any of them begins, by settling it with all its events due now; no
// attempt is used.
// Not its job: reading (group-member.ts), which events of a key may begin (begin-rule.ts), the limits of the group
// (group-permits.ts), calling the handler (handler-calls.ts), what comes of an event (deliveries-in-hand.ts).

import { type Lane, lanes } from '../event/event.ts'
import type { Consumer, Delivery } from '../event-log/event-log.ts'
import { withinMs } from '../lib/abort.ts'
import { type GroupState, runningState } from '../pipeline/group-state.ts'
import type { GroupOptions } from '../pipeline/pipeline.ts'
import type { AttemptGate } from './attempt-gate.ts'
import { type BeginRule, NoRule, type Work } from './begin-rule.ts'
import { CallQueue } from './call-queue.ts'
import type { DeadLetters } from './dead-letters.ts'
import type { HandlerDefinition } from './define-handler.ts'
import { DeliveriesInHand, type DeliveriesInHandOptions } from './deliveries-in-hand.ts'
import type { DeliveryTimes } from './delivery-times.ts'
import { GroupMember, type GroupMemberOptions } from './group-member.ts'
import { GroupPermits } from './group-permits.ts'
import { type AttemptParts, type Attempts, attemptsOf } from './handler-attempt.ts'
import { HandlerCalls } from './handler-calls.ts'
import { KeyLimit } from './key-limit.ts'
import { KeyOrder, type KeyOrderOptions } from './key-order.ts'
import { LaneTurns } from './lane-turns.ts'
import type { OpenDelivery } from './open-delivery.ts'
import type { Outage, Pool } from './pool.ts'
import { ReadAhead } from './read-ahead.ts'

/** How long one read of the log waits for a first delivery. */
const maxReadMs = 10_000

/** How long handlers may still take that were told to stop; at most half of the drain time. */
const maxShutdownMs = 500

/** From this attempt on, and in its last one, a suspect event runs alone; an isolated handler's does so at once. */
const firstAttemptAlone = 3

/** What waits in hand for a place is returned when none was freed for so long: another process may be free. */
const maxIdleInHandMs = 100

const noEvents = { high: 0, normal: 0, low: 0 }

export interface HandlerPoolOptions extends Omit<GroupMemberOptions, 'topic' | 'group'>, AttemptParts {
  readonly handler: HandlerDefinition
  /** Max calls of the handler at once, now. */
  readonly concurrency: () => number
  /** How the handler is called; by default in this process. */
  readonly attemptsOf?: typeof attemptsOf
  /** Attempts before an event becomes a dead letter. */
  readonly maxAttempts: number
  readonly replyTo?: DeliveriesInHandOptions['replyTo']
  readonly skips?: DeliveriesInHandOptions['skips']
  readonly deadLetters: DeadLetters
  /** The process's gate; an isolated handler has one of its own within that. */
  readonly gate: AttemptGate
  /** Shared by all pools of the process. */
  readonly deliveryTimes: DeliveryTimes
}

/** Each call has one event, when the handler takes no batches. */
const noBatch = { maxEvents: 1, maxWaitMs: 0 }

export class HandlerPool implements Pool {
  readonly #options: HandlerPoolOptions
  readonly #member: GroupMember
  readonly #rule: BeginRule
  readonly #permits: GroupPermits
  readonly #hand: DeliveriesInHand
  readonly #attempts: Attempts
  readonly #calls: HandlerCalls
  readonly #queue: CallQueue<Work>
  readonly #laneTurns = new LaneTurns()
  readonly #readsAhead: boolean
  readonly #readAhead = new ReadAhead()
  #handTimer: NodeJS.Timeout | undefined
  #isStopping = false
  /** Ends a read of the log, which then has handed out nothing. */
  #reading = new AbortController()
  readonly #giveUp = new AbortController()
  /** The lanes of suspect deliveries that were returned, to run with nothing beside them. */
  readonly #suspectLanes = new Set<Lane>()
  #mayTake = Promise.withResolvers<void>()
  #running: Promise<void> | null = null
  #closed: Promise<void> | null = null

  constructor(options: HandlerPoolOptions) {
    const { handler } = options
    const { topic, group, batch, limits } = handler
    const { groupConcurrency = Number.POSITIVE_INFINITY } = limits
    const concurrency = () => Math.min(options.concurrency(), groupConcurrency)
    const { signal } = this.#giveUp
    const wake = () => this.#wake()
    const begin = () => this.#queue.begin()
    this.#options = { ...options, concurrency }
    this.#member = new GroupMember({
      ...{ ...options, topic, group },
      onVoid: (reason) => this.#calls.abortVoid(this.#member.consumer, reason),
    })
    this.#rule = ruleOf(handler, {
      begin: (work) => this.#add(work),
      settle: (open) => this.#hand.settle(open),
      heldKeys: (stream) => this.#member.heldKeys(stream, signal),
    })
    this.#permits = new GroupPermits({ ...options, topic, group, limits, onPermits: begin })
    this.#hand = new DeliveriesInHand({
      ...{ ...options, member: this.#member, rule: this.#rule, signal, onProgress: wake },
    })
    this.#attempts = (options.attemptsOf ?? attemptsOf)(handler, options, () => {
      begin()
      wake()
    })
    this.#calls = new HandlerCalls({
      ...{ ...options, to: { topic, group }, attempts: this.#attempts, hand: this.#hand },
      onCall: (ms) => this.#readAhead.noteCall(ms),
      onEnded: wake,
    })
    // Only where a free place is all that an event waits for.
    this.#readsAhead = batch === null && !handler.ordered && Object.keys(limits).length === 0
    this.#queue = new CallQueue({
      ...(batch ?? noBatch),
      concurrency,
      ahead: () => this.#ahead,
      mayBegin: (events) => this.#permits.begin(events),
      call: (works) => this.#calls.call(works),
      onEnded: (works) => this.#permits.end(works.length),
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

  get options(): GroupOptions {
    const { handler, maxAttempts } = this.#options
    const { ordered, timeoutMs, initialDelayMs, maxDelayMs, onExhausted, limits } = handler
    return {
      ...{
        ordered,
        timeoutMs,
        maxAttempts: handler.maxAttempts ?? maxAttempts,
        initialDelayMs,
        maxDelayMs,
        onExhausted,
      },
      groupConcurrency: limits.groupConcurrency ?? null,
      ratePerSecond: limits.ratePerSecond ?? null,
      limitPerKey: limits.limitPerKey ?? null,
    }
  }

  get state(): GroupState {
    const outage = this.#outage
    if (outage !== null) return { is: 'outage', by: 'system', reason: outage.reason, sinceMs: outage.sinceMs }
    const { ignoring } = this.#calls
    if (ignoring !== null) {
      const places = `${ignoring.calls} of ${this.#options.concurrency()} places`
      const reason = `${places} are held by attempts that go on after their time limit`
      return { is: 'running', by: null, reason, sinceMs: ignoring.sinceMs }
    }
    const { fullOf } = this.#hand
    const reason = fullOf === null ? this.#permits.reason : `${fullOf}: nothing more is taken meanwhile`
    return { ...runningState, reason }
  }

  get problem(): Pool['problem'] {
    const outage = this.#outage
    if (outage === null) return this.#member.problem
    return { reason: outage.code, message: `${this.group} of ${this.topic}: ${outage.reason}` }
  }

  get #outage(): Outage | null {
    return this.#hand.outage ?? this.#attempts.outage
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
    this.#queue.end()
    this.#hand.returnUnbegun([...this.#queue.takeBack(), ...this.#rule.takeBack()])
    this.#wake()
    const isLate = (await withinMs(this.#finished(), graceMs - shutdownMs, 'late')) === 'late'
    if (isLate) {
      this.#calls.stop()
      await withinMs(this.#finished(), shutdownMs / 2, null)
      this.#hand.returnAll()
      await withinMs(this.#finished(), shutdownMs / 2, null)
    }
    this.#giveUp.abort()
    await Promise.all([this.#permits.close(), this.#member.leave(), this.#attempts.close()])
  }

  /** Resolves when nothing is at work or unsettled. */
  async #finished(): Promise<void> {
    await this.#running
    while (!this.#hand.isEmpty) await this.#mayTake.promise
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
        const { consumer } = this.#member
        if (await this.#rule.knows(consumer, delivery)) this.#begin(consumer, delivery)
      }
      leave()
      if (this.#readsAhead) this.#watchHand()
      if (this.#suspectLanes.size === 0 || this.#isStopping) continue
      this.#reading = new AbortController()
      await this.#permits.ready(1, this.#reading.signal)
      await gate.alone(() => this.#runSuspects())
    }
  }

  /** How many events may wait in hand for a place. */
  get #ahead(): number {
    return this.#readsAhead ? this.#readAhead.events(this.#options.concurrency()) : 0
  }

  get #hasRoom(): boolean {
    return this.#queue.freeCalls > 0 && this.#outage === null && this.#hand.freeEvents > 0
  }

  /** Resolves the waits for a free place. */
  #wake(): void {
    this.#mayTake.resolve()
    this.#mayTake = Promise.withResolvers()
  }

  /** Up to one event for each free place, by the weights of the lanes, else the most urgent ones; waits for the first. */
  async #take(signal: AbortSignal): Promise<readonly Delivery[]> {
    const places = await this.#permits.ready(Math.min(this.#queue.freeEvents, this.#hand.freeEvents), signal)
    if (places === 0) return []
    const shares = this.#laneTurns.share(places)
    // A lane that was asked and had nothing is not asked again.
    const unasked = lanes.filter((lane) => shares[lane] === 0)
    const wanted = [shares, ...unasked.map((lane) => ({ ...noEvents, [lane]: places }))]
    for (const maxEvents of wanted) {
      const startedAtMs = this.#options.monotonicNow()
      const found = await this.#member.next({ maxEvents, maxWaitMs: 0 }, signal)
      if (found.length > 0) this.#readAhead.noteRead(this.#options.monotonicNow() - startedAtMs)
      if (!signal.aborted) this.#laneTurns.note(maxEvents, new Set(found.map(({ position }) => position.stream.lane)))
      if (found.length > 0 || signal.aborted) return found
    }
    // Events that arrive together come with one read where calls are quicker than reads, else to the process that is free.
    const isQuick = this.#readAhead.events(this.#options.concurrency()) > 0
    const first = { high: 1, normal: 1, low: 1 }
    if (isQuick) for (const lane of lanes) first[lane] = Math.max(1, shares[lane])
    return await this.#member.next({ maxEvents: first, maxWaitMs: maxReadMs }, signal)
  }

  #open(consumer: Consumer, delivery: Delivery): OpenDelivery {
    const { freeCalls, freeEvents } = this.#queue
    const concurrency = this.#options.concurrency()
    // More may wait in hand, but an entry is settled as a whole: a slow event would keep what waits in its entry. Where calls
    // are short that costs less than to store the parts of an entry, which may find few places free.
    const free = this.#ahead > 0 ? concurrency : Math.min(freeCalls, concurrency)
    return this.#hand.open(consumer, delivery, this.#isForBatch(delivery) ? freeEvents : free)
  }

  #begin(consumer: Consumer, delivery: Delivery): void {
    const { gate, handler, maxAttempts } = this.#options
    const open = this.#open(consumer, delivery)
    const firstAlone = handler.isolate ? 1 : Math.min(firstAttemptAlone, maxAttempts)
    if (delivery.isSuspect && delivery.attempt >= firstAlone && !open.hasEnded) {
      // In hand it would lose an attempt to another one that ends the process. Due at 0, it is the next of its lane (dueAtOnce).
      this.#hand.return(open, 0)
      this.#suspectLanes.add(delivery.position.stream.lane)
    }
    for (const index of open.pending.keys()) {
      gate.share()
      const work = { open, index, onEnded: () => gate.leave() }
      if (this.#rule.admit(work)) this.#add(work)
    }
    this.#hand.settle(open)
  }

  #add(work: Work): void {
    if (this.#isForBatch(work.open.delivery)) this.#queue.addToBatch(work)
    else this.#queue.addAlone(work)
  }

  /** What has failed in a batch is tried again by itself: which event was to blame is unknown. */
  #isForBatch({ attempt, isSuspect }: Delivery): boolean {
    return this.#options.handler.batch !== null && attempt === 1 && !isSuspect
  }

  #watchHand(): void {
    if (this.#handTimer !== undefined || this.#queue.waiting === 0 || this.#isStopping) return
    const { begun } = this.#queue
    this.#handTimer = setTimeout(() => {
      this.#handTimer = undefined
      if (this.#queue.begun > begun) return this.#watchHand()
      this.#readAhead.noteCall(maxIdleInHandMs)
      this.#hand.returnUnbegun(this.#queue.takeBack())
    }, maxIdleInHandMs)
  }

  /** Reads and runs one entry at a time, with nothing beside it in this process, while they are suspect. */
  async #runSuspects(): Promise<void> {
    const { signal } = this.#reading
    for (const lane of this.#suspectLanes) {
      for (let isSuspect = true; isSuspect && this.#hasRoom; ) {
        if (this.#options.gate.isCrowded) return
        await this.#hand.idle()
        const [delivery] = await this.#member.next({ maxEvents: { ...noEvents, [lane]: 1 }, maxWaitMs: 0 }, signal)
        const { consumer } = this.#member
        if (delivery === undefined || !(await this.#rule.knows(consumer, delivery))) break
        const open = this.#open(consumer, delivery)
        const ends = [...open.pending.keys()].map(
          (index) =>
            new Promise<void>((resolve) => {
              const work = { open, index, onEnded: resolve }
              if (this.#rule.admit(work)) this.#queue.addAlone(work)
            }),
        )
        await Promise.all(ends)
        this.#hand.settle(open)
        isSuspect = delivery.isSuspect
      }
    }
    this.#suspectLanes.clear()
  }
}

function ruleOf({ ordered, limits }: HandlerDefinition, options: KeyOrderOptions): BeginRule {
  if (ordered) return new KeyOrder(options)
  return limits.limitPerKey === undefined ? new NoRule() : new KeyLimit(limits.limitPerKey, options)
}
