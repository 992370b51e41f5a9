// Runs a handler on the events of its group, each event by itself.
//
// Job: take as many events as places are free, run each, and settle an entry when all its events have ended: done,
// another attempt later, or a dead letter. An entry is not a unit of work: one with more events than the handler's
// concurrency is cut before any of them starts, by settling it with all its events due now; no attempt is used.
// Not its job: reading and settling (group-member.ts), what an attempt is (attempt.ts).

import { type MillraceError, toMillraceError } from '../errors.ts'
import { cutBatch } from '../event/cut-batch.ts'
import { lanes } from '../event/event.ts'
import { decodeBatch, type RecordBatch } from '../event/record-batch.ts'
import type { Again, Consumer, Delivery, Outcome } from '../event-log/event-log.ts'
import { formatPosition } from '../event-log/position-text.ts'
import { sleep, withinMs } from '../lib/abort.ts'
import { type GroupState, runningState } from '../pipeline/group-state.ts'
import type { Metrics } from '../telemetry/metrics.ts'
import type { Attempt, AttemptEnd } from './attempt.ts'
import type { GivenUp } from './dead-letter-event.ts'
import type { DeadLetters } from './dead-letters.ts'
import type { AbortReason, HandlerDefinition } from './define-handler.ts'
import { GroupMember, type GroupMemberOptions } from './group-member.ts'
import { type HandledEvent, toHandledEvent } from './handled-event.ts'
import { attemptOf } from './handler-attempt.ts'
import { LaneTurns } from './lane-turns.ts'
import type { Pool } from './pool.ts'
import { decideRetry, delayOfAttempt } from './retry-policy.ts'
import { compileTypePatterns } from './type-pattern.ts'

/** How long one read of the log waits for a first delivery. */
const maxReadMs = 10_000

const noEvents = { high: 0, normal: 0, low: 0 }

/** How long handlers that were told to stop may still take. */
const shutdownMs = 500

export interface HandlerPoolOptions extends Omit<GroupMemberOptions, 'topic' | 'group'> {
  readonly handler: HandlerDefinition
  /** Max events at work. */
  readonly concurrency: number
  /** Attempts before an event becomes a dead letter. */
  readonly maxAttempts: number
  readonly deadLetters: DeadLetters
  readonly metrics: Metrics
  /** The wall clock, in milliseconds since 1970. */
  readonly now: () => number
  /** A monotonic clock, in milliseconds. */
  readonly monotonicNow: () => number
}

/** A delivery some of whose events have not ended. */
interface OpenDelivery {
  readonly delivery: Delivery
  readonly consumer: Consumer
  left: number
  readonly again: Again[]
  readonly givenUp: GivenUp[]
}

export class HandlerPool implements Pool {
  readonly #options: HandlerPoolOptions
  readonly #member: GroupMember
  readonly #attempt: Attempt
  readonly #isMine: (type: string) => boolean
  readonly #laneTurns = new LaneTurns()
  readonly #stopTaking = new AbortController()
  readonly #shutdown = new AbortController()
  readonly #giveUp = new AbortController()
  readonly #atWork = new Set<Promise<void>>()
  #freePlaces: number
  #placeFreed = Promise.withResolvers<void>()
  #ended: OpenDelivery[] = []
  #settling: Promise<void> | null = null
  #outage: { readonly error: MillraceError; readonly sinceMs: number } | null = null
  #running: Promise<void> | null = null
  #closed: Promise<void> | null = null

  constructor(options: HandlerPoolOptions) {
    const { handler, concurrency } = options
    this.#options = options
    this.#member = new GroupMember({ ...options, topic: handler.topic, group: handler.group })
    this.#attempt = attemptOf(handler, options)
    this.#isMine = compileTypePatterns(handler.types)
    this.#freePlaces = concurrency
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
    if (this.#outage === null) return runningState
    return { is: 'outage', by: 'system', reason: this.#outage.error.message, sinceMs: this.#outage.sinceMs }
  }

  get problem(): Pool['problem'] {
    if (this.#outage === null) return this.#member.problem
    const { code, message } = this.#outage.error
    return { reason: code, message: `${this.group} of ${this.topic} cannot store dead letters: ${message}` }
  }

  get takesWork(): boolean {
    return this.#member.canRead
  }

  async start(): Promise<void> {
    await this.#member.join()
    this.#running = this.#run()
  }

  close(graceMs: number): Promise<void> {
    this.#closed ??= this.#close(graceMs)
    return this.#closed
  }

  async #close(graceMs: number): Promise<void> {
    this.#stopTaking.abort()
    this.#wake()
    const finished = this.#running?.then(async () => {
      while (this.#atWork.size > 0 || this.#settling !== null) await Promise.all([...this.#atWork, this.#settling])
    })
    const isLate = (await withinMs(Promise.resolve(finished), Math.max(0, graceMs - shutdownMs), 'late')) === 'late'
    if (isLate) {
      this.#shutdown.abort('shutdown' satisfies AbortReason)
      await withinMs(Promise.resolve(finished), Math.min(graceMs, shutdownMs), null)
    }
    this.#giveUp.abort()
    await this.#member.leave()
  }

  async #run(): Promise<void> {
    const { signal } = this.#stopTaking
    while (!signal.aborted) {
      await this.#freePlace()
      const { consumer } = this.#member
      const deliveries = await this.#take(signal)
      // It has joined again meanwhile: what it held before is void.
      if (this.#member.consumer !== consumer) continue
      for (const delivery of deliveries) await this.#begin({ delivery, consumer, left: 0, again: [], givenUp: [] })
    }
  }

  /** Up to one event for each free place, by the weights of the lanes, else the most urgent ones; waits for the first. */
  async #take(signal: AbortSignal): Promise<readonly Delivery[]> {
    const places = this.#freePlaces
    const wanted = [this.#laneTurns.share(places), ...lanes.map((lane) => ({ ...noEvents, [lane]: places }))]
    for (const maxEvents of wanted) {
      if (signal.aborted) return []
      const found = await this.#member.next({ maxEvents, maxWaitMs: 0 }, signal)
      if (found.length > 0) return found
    }
    return await this.#member.next({ maxEvents: { high: 1, normal: 1, low: 1 }, maxWaitMs: maxReadMs }, signal)
  }

  /** Resolves when a place is free, or no more work is to begin. */
  async #freePlace(): Promise<void> {
    while (this.#freePlaces === 0 && !this.#stopTaking.signal.aborted) await this.#placeFreed.promise
  }

  async #begin(open: OpenDelivery): Promise<void> {
    const { concurrency, maxAttempts } = this.#options
    const { delivery } = open
    const { batch, attempt } = delivery
    open.left = batch.count
    // A batch that was tried before has ended its process, perhaps: its events go on apart.
    const maxEvents = attempt > 1 ? 1 : concurrency
    if (batch.damaged === true) {
      const message = `the entry of ${batch.count} events does not match its checksum`
      open.givenUp.push({ delivery, index: null, code: 'corrupt', message })
      this.#end(open, batch.count)
    } else if (batch.count > maxEvents) {
      this.#return(open, cutBatch(batch, maxEvents))
    } else if (attempt > maxAttempts) {
      const message = `the process ended in each of ${maxAttempts} attempts, or lost its lease`
      for (let index = 0; index < batch.count; index++)
        open.givenUp.push({ delivery, index, code: 'internal', message })
      this.#end(open, batch.count)
    } else {
      await this.#runAll(open)
    }
  }

  /** Returns events as smaller entries that are due now, with the attempts they had before. */
  #return(open: OpenDelivery, parts: readonly RecordBatch[]): void {
    const { attempt } = open.delivery
    const dueAtMs = this.#options.now()
    for (const batch of parts) open.again.push({ batch, attempt: attempt - 1, dueAtMs })
    this.#end(
      open,
      parts.reduce((sum, { count }) => sum + count, 0),
    )
  }

  /** Begins each event when a place is free; resolves when all have begun. */
  async #runAll(open: OpenDelivery): Promise<void> {
    const { receivedAtMicros } = open.delivery.batch
    const parts = cutBatch(open.delivery.batch, 1)
    for (const [index, { bytes }] of parts.entries()) {
      const [event] = decodeBatch(bytes)
      if (!this.#isMine(event!.type)) {
        this.#end(open, 1)
        continue
      }
      await this.#freePlace()
      if (this.#stopTaking.signal.aborted) return this.#return(open, parts.slice(index))
      this.#freePlaces--
      const work = this.#runOne(open, index, toHandledEvent(event!, receivedAtMicros))
      const atWork = work.finally(() => this.#atWork.delete(atWork))
      this.#atWork.add(atWork)
    }
  }

  async #runOne(open: OpenDelivery, index: number, event: HandledEvent): Promise<void> {
    const { topic, group } = this
    const { attempt, position } = open.delivery
    const logger = this.#options.logger.child({ topic, group, id: event.id })
    const end = await this.#attempt(event, { attempt, signal: this.#shutdown.signal, logger })
    // An attempt that the stop has ended is not one: the entry goes back as it was.
    if (!this.#shutdown.signal.aborted) {
      if (end.is !== 'done') {
        const level = end.is === 'failed' && end.wasAsked === true ? 'debug' : 'warn'
        const place = formatPosition({ ...position, offset: position.offset + index })
        logger[level]({ position: place, attempt, code: end.code }, `the handler ended with ${end.is}: ${end.message}`)
      }
      this.#note(open, index, end)
    }
    if (end.is === 'failed') await end.running
    this.#freePlaces++
    this.#wake()
  }

  #wake(): void {
    this.#placeFreed.resolve()
    this.#placeFreed = Promise.withResolvers()
  }

  #note(open: OpenDelivery, index: number, end: AttemptEnd): void {
    const { delivery } = open
    const { handler, maxAttempts, now, random } = this.#options
    if (end.is === 'dead' || (end.is === 'failed' && delivery.attempt >= maxAttempts)) {
      open.givenUp.push({ delivery, index, code: end.code, message: end.message })
    } else if (end.is === 'failed') {
      const delayMs = end.afterMs ?? delayOfAttempt(delivery.attempt, handler, random())
      const batch = cutBatch(delivery.batch, 1)[index]!
      open.again.push({ batch, attempt: delivery.attempt, dueAtMs: now() + delayMs })
    }
    this.#end(open, 1)
  }

  #end(open: OpenDelivery, events: number): void {
    open.left -= events
    if (open.left > 0) return
    this.#ended.push(open)
    this.#settling ??= this.#settleEnded()
  }

  /** Settles what has ended, together with what ends meanwhile. */
  async #settleEnded(): Promise<void> {
    // What ends in one turn of the event loop is settled with one call.
    await new Promise((resolve) => setImmediate(resolve))
    while (this.#ended.length > 0) {
      const ended = this.#ended.splice(0)
      await this.#buryGivenUp(ended.flatMap(({ givenUp }) => givenUp))
      if (this.#giveUp.signal.aborted) break
      for (const [consumer, own] of Map.groupBy(ended, ({ consumer }) => consumer))
        await this.#member.settle(consumer, own.map(outcomeOf), this.#giveUp.signal)
    }
    this.#settling = null
  }

  /** Stores dead letters before their entries are settled; repeats that until the log takes them. */
  async #buryGivenUp(givenUp: readonly GivenUp[]): Promise<void> {
    if (givenUp.length === 0) return
    const { deadLetters, metrics, logger, now, random } = this.#options
    const { topic, group } = this
    const { signal } = this.#giveUp
    for (let failures = 1; !signal.aborted; failures++) {
      try {
        await deadLetters.append(topic, group, givenUp)
        for (const { code } of givenUp) metrics.deadLetters.add(1, { topic, group, code })
        this.#outage = null
        return
      } catch (thrown) {
        const error = toMillraceError(thrown)
        if (this.#outage === null)
          logger.error({ topic, group, code: error.code, error }, 'dead letters cannot be stored; retrying')
        this.#outage = { error, sinceMs: this.#outage?.sinceMs ?? now() }
        await sleep(decideRetry(error, failures, random()).retryInMs, signal)
      }
    }
  }
}

function outcomeOf({ delivery, again, givenUp }: OpenDelivery): Outcome {
  const dead = givenUp.some(({ index }) => index === null) ? delivery.batch.count : givenUp.length
  const redelivered = again.reduce((sum, { batch }) => sum + batch.count, 0)
  return { delivery, landed: delivery.batch.count - dead - redelivered, dead, again }
}
