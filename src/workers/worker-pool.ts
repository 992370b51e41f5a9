// Runs next → handle → settle for one group of one topic.
//
// Job: gather deliveries into turns (by size or time), keep a few turns under way at once, settle each after its handler
// has returned, and hold everything still while what the handler needs is away. The states of the pool:
//
//   running   turns start as deliveries come
//   paused    a handler has thrown: no turn starts, and the failed one is handled again until it gets through
//   closing   no turn starts any more; those under way finish, the rest goes back to the log
//
// Not its job: what to do with an event (the handler), what to try again and when (retry-policy.ts).

import { toMillraceError } from '../errors.ts'
import { type Lane, lanes } from '../event/event.ts'
import type { Consumer, Delivery, EventLog, Outcome } from '../event-log/event-log.ts'
import { sleep, withinMs } from '../lib/abort.ts'
import { BatchTrigger } from '../lib/batch-trigger.ts'
import type { Logger } from '../telemetry/logger.ts'
import type { Handler } from './handler.ts'
import { splitTurn } from './lane-shares.ts'
import { decideRetry } from './retry-policy.ts'

/** How long one look into the log waits for a first delivery. */
const lookMs = 10_000

export interface WorkerPoolOptions {
  readonly eventLog: EventLog
  readonly topic: string
  readonly group: string
  /** Makes topic and group again, when somebody has deleted what this server cannot be without. */
  readonly declare: () => Promise<void>
  readonly handler: Handler
  /** A turn has about this many events at most; entries stay whole, so it may be a few more. */
  readonly maxTurnEvents: number
  /** Under a steady flow a turn collects for this long at most. */
  readonly maxTurnWaitMs: number
  /** How many turns may be under way: one is worked on while the next is got ready. */
  readonly maxTurns: number
  readonly leaseMs: number
  readonly logger: Logger
  /** The wall clock, in milliseconds since 1970. */
  readonly now: () => number
  /** A clock that only goes forward, in milliseconds. */
  readonly monotonicNow: () => number
  readonly random: () => number
}

export class WorkerPool {
  readonly #options: WorkerPoolOptions
  readonly #trigger: BatchTrigger
  readonly #stopGathering = new AbortController()
  readonly #giveUp = new AbortController()
  /** Ends the waiting of all turns that have failed, as soon as one gets through. */
  #goOn = new AbortController()
  readonly #turns = new Set<Promise<void>>()
  #hadWork = new Set<Lane>(lanes)
  #paused: { readonly reason: string; readonly sinceMs: number } | null = null
  #pauseEnded: Promise<void> = Promise.resolve()
  /** How often in a row the log could not be read. */
  #failedLooks = 0
  #consumer: Consumer | null = null
  #running: Promise<void> | null = null
  #closed: Promise<void> | null = null

  constructor(options: WorkerPoolOptions) {
    this.#options = options
    this.#trigger = new BatchTrigger(options.maxTurnEvents, options.maxTurnWaitMs)
  }

  get topic(): string {
    return this.#options.topic
  }

  get group(): string {
    return this.#options.group
  }

  /** Why the pool holds still and since when, in words for people; null while it runs. */
  get paused(): string | null {
    if (this.#paused === null) return null
    const { reason, sinceMs } = this.#paused
    // What has failed, then since when, then its cause: "postgres is unreachable since …: ECONNREFUSED".
    const [failure, ...cause] = reason.split(': ')
    return [`${failure} since ${new Date(sinceMs).toISOString()}`, ...cause].join(': ')
  }

  /** Joins the group and begins. Errors: those of EventLog.consume. */
  async start(): Promise<void> {
    const { eventLog, topic, group, leaseMs } = this.#options
    this.#consumer = await eventLog.consume(topic, group, { leaseMs })
    this.#running = this.#run()
  }

  /**
   * Starts no more turns, lets those under way finish until the deadline, and gives the rest back. Idempotent.
   * @param graceMs how long turns may still take.
   */
  close(graceMs: number): Promise<void> {
    this.#closed ??= this.#close(graceMs)
    return this.#closed
  }

  async #close(graceMs: number): Promise<void> {
    this.#stopGathering.abort()
    await withinMs(Promise.all([this.#running, ...this.#turns]), graceMs, null)
    this.#giveUp.abort()
    this.#goOn.abort()
    await this.#consumer?.close()
  }

  async #run(): Promise<void> {
    const { maxTurns } = this.#options
    while (!this.#stopGathering.signal.aborted) {
      const consumer = this.#consumer as Consumer
      const deliveries = await this.#gather(consumer)
      while (this.#turns.size >= maxTurns) await Promise.race(this.#turns)
      await this.#pauseEnded
      if (deliveries.length === 0 || this.#stopGathering.signal.aborted) continue
      const turn: Promise<void> = this.#turn(consumer, deliveries).finally(() => this.#turns.delete(turn))
      this.#turns.add(turn)
    }
  }

  /** Collects deliveries until there are enough for a turn or its time is over. */
  async #gather(consumer: Consumer): Promise<readonly Delivery[]> {
    const { maxTurnEvents, monotonicNow } = this.#options
    const { signal } = this.#stopGathering
    const maxEvents = splitTurn(maxTurnEvents, this.#hadWork)
    let gathered = await this.#next(consumer, maxEvents, lookMs)
    if (gathered.length === 0) return gathered
    let events = countEvents(gathered)
    for (;;) {
      const remainingMs = this.#trigger.remainingMs(events, monotonicNow())
      if (remainingMs === 0 || signal.aborted) break
      const rest = splitTurn(maxTurnEvents - events, this.#hadWork)
      const more = await this.#next(consumer, rest, remainingMs)
      events += countEvents(more)
      gathered = gathered.concat(more)
    }
    this.#trigger.flushed(monotonicNow())
    this.#hadWork = new Set(gathered.map((delivery) => delivery.position.stream.lane))
    return gathered
  }

  /** Nothing while the log is away. When it has failed for good, the process is about to end. */
  async #next(
    consumer: Consumer,
    maxEvents: Readonly<Record<Lane, number>>,
    maxWaitMs: number,
  ): Promise<readonly Delivery[]> {
    const { topic, group, logger, random } = this.#options
    const { signal } = this.#stopGathering
    try {
      const deliveries = await consumer.next({ maxEvents, maxWaitMs, signal })
      if (this.#failedLooks > 0) logger.info({ topic, group }, `${group} can read the log again`)
      this.#failedLooks = 0
      return deliveries
    } catch (thrown) {
      const error = toMillraceError(thrown)
      if (++this.#failedLooks === 1) {
        logger.error({ topic, group, code: error.code, error }, `${group} cannot read the log; it is tried again`)
      }
      if (error.code === 'not_found' && (await this.#joinAgain(consumer))) return []
      await sleep(decideRetry(error, this.#failedLooks, random()).retryInMs, signal)
      return []
    }
  }

  /** Answers whether the group is there again. What its last consumer still has in its hands cannot be settled by it. */
  async #joinAgain(consumer: Consumer): Promise<boolean> {
    const { eventLog, topic, group, declare, leaseMs, logger } = this.#options
    try {
      await declare()
      const next = await eventLog.consume(topic, group, { leaseMs })
      this.#consumer = next
      await consumer.close()
      logger.warn({ topic, group }, `${group} was deleted, and this server needs it: it was made again`)
      return true
    } catch {
      // The next look says why.
      return false
    }
  }

  /** Handles one turn until it gets through, then settles it. */
  async #turn(consumer: Consumer, deliveries: readonly Delivery[]): Promise<void> {
    const outcomes = await this.#handle(deliveries)
    if (outcomes !== null) await this.#settle(consumer, outcomes)
  }

  /** Settles until the log takes it: a full disk may refuse it for a while, and what is not settled stays in our hands. */
  async #settle(consumer: Consumer, outcomes: readonly Outcome[]): Promise<void> {
    const { topic, group, logger, random } = this.#options
    const { signal } = this.#giveUp
    for (let failures = 1; !signal.aborted; failures++) {
      try {
        const refused = await consumer.settle(outcomes)
        if (refused.length === 0) return
        logger.warn({ topic, group, refused: refused.length }, 'deliveries were settled too late and come again')
        return
      } catch (thrown) {
        const error = toMillraceError(thrown)
        if (error.code === 'not_found') {
          logger.warn({ topic, group }, 'the group was deleted: what this turn has done is not counted')
          return
        }
        if (failures === 1) logger.error({ topic, group, code: error.code, error }, 'a turn could not be settled yet')
        await sleep(decideRetry(error, failures, random()).retryInMs, signal)
      }
    }
  }

  /** The handler's outcomes, after as many tries as it takes; null when the drain time is over before that. */
  async #handle(deliveries: readonly Delivery[]): Promise<readonly Outcome[] | null> {
    const { handler, topic, group } = this.#options
    const { signal } = this.#giveUp
    for (let failures = 1; !signal.aborted; failures++) {
      try {
        const outcomes = await handler(deliveries, { topic, group, signal })
        this.#resume()
        return outcomes
      } catch (thrown) {
        await this.#pause(thrown, failures)
      }
    }
    return null
  }

  async #pause(thrown: unknown, failures: number): Promise<void> {
    const { topic, group, logger, now, random } = this.#options
    const error = toMillraceError(thrown)
    const { kind, retryInMs } = decideRetry(error, failures, random())
    if (this.#paused === null) {
      const level = kind === 'alarm' ? 'error' : 'warn'
      logger[level]({ topic, group, code: error.code, error }, `${group} is paused: ${error.message}`)
    }
    this.#paused = { reason: error.message, sinceMs: this.#paused?.sinceMs ?? now() }
    const { signal } = this.#giveUp.signal.aborted ? this.#giveUp : this.#goOn
    const wait = sleep(retryInMs, signal)
    this.#pauseEnded = wait
    await wait
  }

  #resume(): void {
    if (this.#paused === null) return
    const { topic, group, logger } = this.#options
    this.#paused = null
    this.#goOn.abort()
    this.#goOn = new AbortController()
    logger.info({ topic, group }, `${group} goes on`)
  }
}

function countEvents(deliveries: readonly Delivery[]): number {
  let events = 0
  for (const { batch } of deliveries) events += batch.count
  return events
}
