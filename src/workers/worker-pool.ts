// Runs next → handle → settle for one group of one topic.
//
// Job: gather deliveries into turns (by size or time), keep a few turns in flight, settle each after its handler has
// returned, and pause while a service that the handler needs is unreachable. The states of the pool:
//
//   running   turns start as deliveries arrive
//   paused    a handler has thrown: no turn starts, and the failed turn is retried until it succeeds
//   closing   no turn starts any more; turns in flight finish, other deliveries go back to the log
//
// Not its job: what to do with an event (the handler), what to retry and when (retry-policy.ts).

import { type ErrorCode, type MillraceError, textWithCause, toMillraceError } from '../errors.ts'
import { type Lane, lanes } from '../event/event.ts'
import {
  type Consumer,
  type Delivery,
  type EventLog,
  maxNextBytes,
  type NextOptions,
  type Outcome,
} from '../event-log/event-log.ts'
import { sleep, withinMs } from '../lib/abort.ts'
import { BatchTrigger } from '../lib/batch-trigger.ts'
import type { Logger } from '../telemetry/logger.ts'
import type { Handler, RetryReport } from './handler.ts'
import { splitTurn } from './lane-shares.ts'
import { decideRetry } from './retry-policy.ts'

/** A retry has ended at this time after it was due, if the database answers. */
const maxRetryMs = 5000

/** How long one read of the log waits for a first delivery. */
const maxReadMs = 10_000

export interface WorkerPoolOptions {
  readonly eventLog: EventLog
  readonly topic: string
  readonly group: string
  /** Recreates the topic and the group when they were deleted. */
  readonly declare: () => Promise<void>
  readonly handler: Handler
  /** Max events per turn; entries are not split, so a turn can have a few more. */
  readonly maxTurnEvents: number
  /** Max bytes per turn, not counting its last entry. Default `maxNextBytes`. */
  readonly maxTurnBytes?: number
  /** Under a steady flow a turn is gathered for at most this long. */
  readonly maxTurnWaitMs: number
  /** Max turns in flight: one is handled while the next is gathered. */
  readonly maxTurns: number
  readonly leaseMs: number
  readonly logger: Logger
  /** The wall clock, in milliseconds since 1970. */
  readonly now: () => number
  /** A monotonic clock, in milliseconds. */
  readonly monotonicNow: () => number
  readonly random: () => number
}

export class WorkerPool {
  readonly #options: WorkerPoolOptions
  readonly #trigger: BatchTrigger
  readonly #stopGathering = new AbortController()
  readonly #giveUp = new AbortController()
  /** Ends the backoff of all failed turns as soon as one turn succeeds. */
  #retryNow = new AbortController()
  readonly #turns = new Set<Promise<void>>()
  #hadWork = new Set<Lane>(lanes)
  #paused: { readonly code: ErrorCode; readonly reason: string; readonly sinceMs: number } | null = null
  #retrying: { readonly reason: string; readonly sinceMs: number; readonly untilMs: number } | null = null
  #pauseEnded: Promise<void> = Promise.resolve()
  /** How many reads of the log have failed in a row. */
  #failedReads = 0
  #readFailure: MillraceError | null = null
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

  /** Why the pool is paused and since when, as a text; null while it runs. */
  get paused(): string | null {
    return this.#paused === null ? null : sinceText(this.#paused)
  }

  /** Why some deliveries are retried although the pool runs, and since when, as a text; null when none is. */
  get retrying(): string | null {
    const retrying = this.#retrying
    return retrying === null || this.#options.now() > retrying.untilMs ? null : sinceText(retrying)
  }

  /** False while the log cannot be read: two reads in a row have failed. */
  get takesWork(): boolean {
    return this.#failedReads < 2
  }

  /** Why no events are handled now, with an error code as its reason; null while the pool runs. */
  get problem(): { readonly reason: ErrorCode; readonly message: string } | null {
    const name = `${this.group} of ${this.topic}`
    if (this.#paused !== null) return { reason: this.#paused.code, message: `${name} is paused: ${this.paused}` }
    if (this.takesWork || this.#readFailure === null) return null
    const message = `${name} cannot read the log: ${textWithCause(this.#readFailure)}`
    return { reason: this.#readFailure.code, message }
  }

  /** Joins the group and starts. Errors: those of EventLog.consume. */
  async start(): Promise<void> {
    const { eventLog, topic, group, leaseMs } = this.#options
    this.#consumer = await eventLog.consume(topic, group, { leaseMs })
    this.#running = this.#run()
  }

  /**
   * Starts no more turns, lets turns in flight finish until the deadline, and returns other deliveries to the log.
   * Idempotent.
   * @param graceMs how long turns in flight may still take.
   */
  close(graceMs: number): Promise<void> {
    this.#closed ??= this.#close(graceMs)
    return this.#closed
  }

  async #close(graceMs: number): Promise<void> {
    this.#stopGathering.abort()
    await withinMs(Promise.all([this.#running, ...this.#turns]), graceMs, null)
    this.#giveUp.abort()
    this.#retryNow.abort()
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

  /** Collects deliveries until there are enough for a turn or its time is up. */
  async #gather(consumer: Consumer): Promise<readonly Delivery[]> {
    const { maxTurnEvents, maxTurnBytes = maxNextBytes, monotonicNow } = this.#options
    const { signal } = this.#stopGathering
    const maxEvents = splitTurn(maxTurnEvents, this.#hadWork)
    let gathered = await this.#next(consumer, { maxEvents, maxBytes: maxTurnBytes, maxWaitMs: maxReadMs })
    if (gathered.length === 0) return gathered
    for (;;) {
      const { events, bytes } = sizeOf(gathered)
      const remainingMs = bytes >= maxTurnBytes ? 0 : this.#trigger.remainingMs(events, monotonicNow())
      if (remainingMs === 0 || signal.aborted) break
      const rest = splitTurn(maxTurnEvents - events, this.#hadWork)
      const more = await this.#next(consumer, {
        maxEvents: rest,
        maxBytes: maxTurnBytes - bytes,
        maxWaitMs: remainingMs,
      })
      gathered = gathered.concat(more)
    }
    this.#trigger.flushed(monotonicNow())
    this.#hadWork = new Set(gathered.map((delivery) => delivery.position.stream.lane))
    return gathered
  }

  /** Returns nothing while the log is unreachable. When the log has failed for good, the process is about to exit. */
  async #next(consumer: Consumer, bounds: NextOptions): Promise<readonly Delivery[]> {
    const { topic, group, logger, random } = this.#options
    const { signal } = this.#stopGathering
    try {
      const deliveries = await consumer.next({ ...bounds, signal })
      if (this.#failedReads > 0) logger.info({ topic, group }, `${group} can read the log again`)
      this.#failedReads = 0
      return deliveries
    } catch (thrown) {
      const error = toMillraceError(thrown)
      this.#readFailure = error
      if (++this.#failedReads === 1) {
        logger.error({ topic, group, code: error.code, error }, `${group} cannot read the log; retrying`)
      }
      if (error.code === 'not_found' && (await this.#joinAgain(consumer))) return []
      await sleep(decideRetry(error, this.#failedReads, random()).retryInMs, signal)
      return []
    }
  }

  /**
   * Recreates a deleted group and joins it; returns whether it succeeded. Deliveries of the old consumer cannot be
   * settled.
   */
  async #joinAgain(consumer: Consumer): Promise<boolean> {
    const { eventLog, topic, group, declare, leaseMs, logger } = this.#options
    try {
      await declare()
      const next = await eventLog.consume(topic, group, { leaseMs })
      this.#consumer = next
      await consumer.close()
      logger.warn({ topic, group }, `${group} was deleted, but this server needs it: the group was recreated`)
      return true
    } catch {
      // The next read reports the reason.
      return false
    }
  }

  /** Handles one turn until it succeeds, then settles it. */
  async #turn(consumer: Consumer, deliveries: readonly Delivery[]): Promise<void> {
    const outcomes = await this.#handle(deliveries)
    if (outcomes !== null) await this.#settle(consumer, outcomes)
  }

  /**
   * Retries settling until the log accepts it, for example after a full disk; until then the deliveries stay leased.
   */
  async #settle(consumer: Consumer, outcomes: readonly Outcome[]): Promise<void> {
    const { topic, group, logger, random } = this.#options
    const { signal } = this.#giveUp
    for (let failures = 1; !signal.aborted; failures++) {
      try {
        const refused = await consumer.settle(outcomes)
        if (refused.length === 0) return
        logger.warn(
          { topic, group, refused: refused.length },
          'deliveries were settled too late and will be redelivered',
        )
        return
      } catch (thrown) {
        const error = toMillraceError(thrown)
        if (error.code === 'not_found') {
          logger.warn({ topic, group }, 'the group was deleted: the outcomes of this turn are not recorded')
          return
        }
        if (failures === 1)
          logger.error({ topic, group, code: error.code, error }, 'a turn cannot be settled; retrying')
        await sleep(decideRetry(error, failures, random()).retryInMs, signal)
      }
    }
  }

  /** Retries the handler until it returns outcomes; null when the drain time is over before that. */
  async #handle(deliveries: readonly Delivery[]): Promise<readonly Outcome[] | null> {
    const { handler, topic, group } = this.#options
    const { signal } = this.#giveUp
    for (let failures = 1; !signal.aborted; failures++) {
      try {
        const reportRetry = (report: RetryReport) => this.#reportRetry(report)
        const outcomes = await handler(deliveries, { topic, group, signal, reportRetry })
        this.#resume()
        return outcomes
      } catch (thrown) {
        await this.#pause(thrown, failures)
      }
    }
    return null
  }

  #reportRetry({ reason, dueAtMs, isNew }: RetryReport): void {
    const { topic, group, logger, now } = this.#options
    const isFirst = this.retrying === null
    if (isNew || isFirst) logger.error({ topic, group }, `${reason}; retrying, the others go on`)
    const untilMs = Math.max(dueAtMs + maxRetryMs, this.#retrying?.untilMs ?? 0)
    this.#retrying = { reason, sinceMs: isFirst ? now() : this.#retrying!.sinceMs, untilMs }
  }

  async #pause(thrown: unknown, failures: number): Promise<void> {
    const { topic, group, logger, now, random } = this.#options
    const error = toMillraceError(thrown)
    const { kind, retryInMs } = decideRetry(error, failures, random())
    if (this.#paused === null) {
      const level = kind === 'alarm' ? 'error' : 'warn'
      logger[level]({ topic, group, code: error.code, error }, `${group} is paused: ${error.message}`)
    }
    this.#paused = { code: error.code, reason: error.message, sinceMs: this.#paused?.sinceMs ?? now() }
    const { signal } = this.#giveUp.signal.aborted ? this.#giveUp : this.#retryNow
    const wait = sleep(retryInMs, signal)
    this.#pauseEnded = wait
    await wait
  }

  #resume(): void {
    if (this.#paused === null) return
    const { topic, group, logger } = this.#options
    this.#paused = null
    this.#retryNow.abort()
    this.#retryNow = new AbortController()
    logger.info({ topic, group }, `${group} is resumed`)
  }
}

/** The failure, its start time, then its cause: "postgres is unreachable since …: ECONNREFUSED". */
function sinceText({ reason, sinceMs }: { readonly reason: string; readonly sinceMs: number }): string {
  const [failure, ...cause] = reason.split(': ')
  return [`${failure} since ${new Date(sinceMs).toISOString()}`, ...cause].join(': ')
}

function sizeOf(deliveries: readonly Delivery[]): { readonly events: number; readonly bytes: number } {
  let [events, bytes] = [0, 0]
  for (const { batch } of deliveries) {
    events += batch.count
    bytes += batch.bytes.length
  }
  return { events, bytes }
}
