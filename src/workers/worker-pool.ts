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

import { type ErrorCode, toMillraceError } from '../errors.ts'
import { type Lane, lanes } from '../event/event.ts'
import { type Consumer, type Delivery, maxNextBytes, type Outcome } from '../event-log/event-log.ts'
import { sleep, withinMs } from '../lib/abort.ts'
import { BatchTrigger } from '../lib/batch-trigger.ts'
import { type GroupState, groupStateText, runningState } from '../pipeline/group-state.ts'
import { GroupMember, type GroupMemberOptions } from './group-member.ts'
import type { Handler, RetryReport } from './handler.ts'
import { splitTurn } from './lane-shares.ts'
import type { Pool } from './pool.ts'
import { decideRetry } from './retry-policy.ts'

/** A retry has ended at this time after it was due, if the database answers. */
const maxRetryMs = 5000

/** How long one read of the log waits for a first delivery. */
const maxReadMs = 10_000

export interface WorkerPoolOptions extends GroupMemberOptions {
  readonly handler: Handler
  /** Max events per turn; entries are not split, so a turn can have a few more. */
  readonly maxTurnEvents: number
  /** Max bytes per turn, not counting its last entry. Default `maxNextBytes`. */
  readonly maxTurnBytes?: number
  /** Under a steady flow a turn is gathered for at most this long. */
  readonly maxTurnWaitMs: number
  /** Max turns in flight: one is handled while the next is gathered. */
  readonly maxTurns: number
  /** The wall clock, in milliseconds since 1970. */
  readonly now: () => number
  /** A monotonic clock, in milliseconds. */
  readonly monotonicNow: () => number
}

export class WorkerPool implements Pool {
  readonly types: readonly string[] = []
  readonly options = null
  readonly #options: WorkerPoolOptions
  readonly #member: GroupMember
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
  #running: Promise<void> | null = null
  #closed: Promise<void> | null = null

  constructor(options: WorkerPoolOptions) {
    this.#options = options
    this.#member = new GroupMember(options)
    this.#trigger = new BatchTrigger(options.maxTurnEvents, options.maxTurnWaitMs)
  }

  get topic(): string {
    return this.#options.topic
  }

  get group(): string {
    return this.#options.group
  }

  /** `running` with a reason: some deliveries are retried, while the others go on. */
  get state(): GroupState {
    if (this.#paused !== null) {
      const { reason, sinceMs } = this.#paused
      return { is: 'outage', by: 'system', reason, sinceMs }
    }
    if (!this.#isRetrying) return runningState
    const { reason, sinceMs } = this.#retrying!
    return { is: 'running', by: null, reason, sinceMs }
  }

  get #isRetrying(): boolean {
    return this.#retrying !== null && this.#options.now() <= this.#retrying.untilMs
  }

  /** False while the log cannot be read: two reads in a row have failed. */
  get takesWork(): boolean {
    return this.#member.canRead
  }

  /** Why no events are handled now, with an error code as its reason; null while the pool runs. */
  get problem(): Pool['problem'] {
    if (this.#paused === null) return this.#member.problem
    return { reason: this.#paused.code, message: `${this.group} of ${this.topic}: ${groupStateText(this.state)}` }
  }

  /** Joins the group and starts. Errors: those of EventLog.consume. */
  async start(): Promise<void> {
    await this.#member.join()
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
    await this.#member.leave()
  }

  async #run(): Promise<void> {
    const { maxTurns } = this.#options
    while (!this.#stopGathering.signal.aborted) {
      const { consumer } = this.#member
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
    let gathered = await this.#member.next({ maxEvents, maxBytes: maxTurnBytes, maxWaitMs: maxReadMs }, signal)
    if (gathered.length === 0) return gathered
    for (;;) {
      const { events, bytes } = sizeOf(gathered)
      const remainingMs = bytes >= maxTurnBytes ? 0 : this.#trigger.remainingMs(events, monotonicNow())
      if (remainingMs === 0 || signal.aborted) break
      const rest = splitTurn(maxTurnEvents - events, this.#hadWork)
      const bounds = { maxEvents: rest, maxBytes: maxTurnBytes - bytes, maxWaitMs: remainingMs }
      const more = await this.#member.next(bounds, signal)
      // It has joined again meanwhile: what it held before is void.
      if (this.#member.consumer !== consumer) return []
      gathered = gathered.concat(more)
    }
    this.#trigger.flushed(monotonicNow())
    this.#hadWork = new Set(gathered.map((delivery) => delivery.position.stream.lane))
    return gathered
  }

  /** Handles one turn until it succeeds, then settles it. */
  async #turn(consumer: Consumer, deliveries: readonly Delivery[]): Promise<void> {
    const outcomes = await this.#handle(deliveries)
    if (outcomes !== null) await this.#member.settle(consumer, outcomes, this.#giveUp.signal)
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
    const isFirst = !this.#isRetrying
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

function sizeOf(deliveries: readonly Delivery[]): { readonly events: number; readonly bytes: number } {
  let [events, bytes] = [0, 0]
  for (const { batch } of deliveries) {
    events += batch.count
    bytes += batch.bytes.length
  }
  return { events, bytes }
}
