// A worker: runs a handler in this process on events of a group that a server gives it.
//
// Job: join, run the handler for what is delivered, send how it ended; join again after a cut; at close() finish what it
// holds, within a bound, also when no server answers.
// Not its job: retries, time limits, dead letters (the server), one call (consume-call.ts).

import type { Client as GrpcClient } from '@grpc/grpc-js'
import { MillraceError, toMillraceError } from '../errors.ts'
import { requestTypeOf } from '../event/request.ts'
import { type TraceContext, traceContextOf } from '../event/trace-context.ts'
import { type ConsumeResponse, type Delivery, type Join, RevokeReason } from '../gen/millrace/v1/work_pb.ts'
import { sleep, withinMs } from '../lib/abort.ts'
import { backoffMs } from '../lib/backoff.ts'
import type { Pipeline } from '../pipeline/pipeline.ts'
import type { WorkJoin } from '../pipeline/work.ts'
import type { Logger } from '../telemetry/logger.ts'
import { traceFields } from '../telemetry/trace-context.ts'
import { toDuration } from '../wire/durations.ts'
import { workJoin } from '../wire/work.ts'
import type { AttemptEnd, LimitedAttempt } from '../workers/attempt.ts'
import { AttemptAbort } from '../workers/attempt-abort.ts'
import { callHandler } from '../workers/call-handler.ts'
import {
  type AbortReason,
  defineHandler,
  type HandlerContext,
  type HandlerOptions,
  type RequestHandlerOptions,
} from '../workers/define-handler.ts'
import { fileReader } from '../workers/file-reader.ts'
import type { HandledEvent } from '../workers/handled-event.ts'
import { publishAllOrNone } from '../workers/publish-events.ts'
import { ConsumeCall, type OutcomeEnd } from './consume-call.ts'
import { handledEventOf } from './event-of-wire.ts'
import type { ServerConnection } from './server-connection.ts'

const serverOptions = ['isolate', 'batch'] as const
type ServerOption = (typeof serverOptions)[number]

/**
 * The options of a handler. What is left out is as the group's other workers at the server have it, else the default. The
 * server keeps the time of `timeoutMs`.
 */
export interface WorkOptions extends Omit<HandlerOptions, ServerOption | 'concurrency'>, OwnOptions {}

/** As WorkOptions, to answer requests. */
export interface RequestWorkOptions extends Omit<RequestHandlerOptions, ServerOption | 'concurrency'>, OwnOptions {}

interface OwnOptions {
  /** Max calls of the handler at once, 1 to 1,000. Default 16. */
  readonly concurrency?: number
  /** MILLRACE_FILES_DIR of the servers, where it is shared: `context.file()` reads it. Default: from the server. */
  readonly filesDir?: string
  /** Where the lines of the handler and of the worker go. Default: JSON lines on stderr. */
  readonly logger?: Logger
}

export interface CloseOptions {
  /**
   * How long to wait for what is at work, in milliseconds. Shortly before, at most half a second, its signals are aborted
   * with `shutdown`. What has not ended then goes to another worker, with the attempts of before. Default 10,000.
   */
  readonly withinMs?: number
}

const defaultConcurrency = 16
const maxConcurrency = 1000
/** How long calls may still take that were told to stop; at most half of the whole time. */
const maxShutdownMs = 500
/** How long the server may take to end the call when it has all outcomes. */
const leaveWithinMs = 1000
const rejoinPolicy = { baseMs: 100, maxMs: 5000 }

export interface WorkerParts {
  readonly connection: ServerConnection
  readonly publish: Pipeline['publish']
  /** Downloads a file. */
  readonly file: HandlerContext['file']
  readonly now: () => number
  /** 0 <= random() < 1. */
  readonly random: () => number
  readonly onEnded: () => void
}

interface Work {
  readonly session: Session
  readonly delivery: bigint
  readonly attempt: number
  readonly trace: TraceContext | undefined
  readonly event: HandledEvent
  readonly abort: AttemptAbort
}

/** A call, and what the server has delivered on it. */
interface Session {
  readonly call: ConsumeCall
  readonly works: Map<bigint, Work>
  readonly over: PromiseWithResolvers<MillraceError | null>
}

/** Created by `client.work()`. */
export class Worker {
  /**
   * Resolves after close(); rejects when a server refuses the worker for good, for example `failed_precondition` (the group
   * has other options) or `not_found` (the topic).
   */
  readonly ended: Promise<void>
  readonly #parts: WorkerParts
  readonly #join: Join
  readonly #concurrency: number
  /** The fields of its log lines. */
  readonly #group: { readonly topic: string; readonly group: string }
  readonly #attempt: LimitedAttempt
  #logger: Logger | null
  #session: Session | null = null
  /** Delivered, and waiting for a call that was lost but has not ended. */
  readonly #waiting: Work[] = []
  readonly #atWork = new Set<Work>()
  #onIdle: () => void = () => {}
  readonly #closing = new AbortController()
  #closed: Promise<void> | null = null

  /** Use `client.work()`. */
  constructor(options: WorkOptions | RequestWorkOptions, parts: WorkerParts) {
    const { logger = null, filesDir, ...handlerOptions } = options
    const { concurrency = defaultConcurrency } = options
    for (const option of serverOptions)
      if (option in options) throw wrongOption(option, 'is for handlers in the server only')
    // Its overloads take one kind of options each.
    const handler = defineHandler(handlerOptions as HandlerOptions)
    if (concurrency > maxConcurrency)
      throw wrongOption('concurrency', `is ${concurrency}; the limit is ${maxConcurrency}`)
    this.#parts = parts
    this.#logger = logger
    this.#concurrency = concurrency
    this.#group = { topic: handler.topic, group: handler.group }
    this.#join = workJoin.toMessage(joinOf(options, concurrency, handler.types)) as Join
    this.#attempt = callHandler(handler, {
      publish: publishAllOrNone(parts.publish),
      file: filesDir === undefined ? parts.file : fileReader(filesDir),
      now: parts.now,
    })
    this.ended = this.#run().finally(parts.onEnded)
  }

  /** Takes nothing more, finishes what is at work, and leaves. Idempotent. The client must stay open until then. */
  close({ withinMs: boundMs = 10_000 }: CloseOptions = {}): Promise<void> {
    this.#closed ??= this.#close(boundMs)
    return this.#closed
  }

  async #run(): Promise<void> {
    const { connection, random } = this.#parts
    // A producer never needs it, and it is much to load.
    this.#logger ??= (await import('../telemetry/logger.ts')).createLogger({ level: 'info' })
    const logger = this.#logger.child(this.#group)
    const { signal } = this.#closing
    const closing = new Promise<null>((resolve) => {
      signal.addEventListener('abort', () => resolve(null), { once: true })
    })
    let failures = 0
    while (!signal.aborted) {
      let client: GrpcClient | null = null
      try {
        client = await Promise.race([connection.open(), closing])
        if (client === null || signal.aborted) break
        await this.#consume(client, () => {
          if (failures > 0) logger.info('the worker has joined again')
          failures = 0
        })
      } catch (thrown) {
        const error = toMillraceError(thrown)
        if (signal.aborted) break
        if (client !== null) connection.drop(client)
        if (!error.retryable && error.code !== 'internal') throw error
        if (failures++ === 0) logger.warn({ code: error.code }, `the worker has lost its server: ${error.message}`)
        await sleep(backoffMs(failures, rejoinPolicy, random()), signal)
      }
    }
    await this.#closed
  }

  /** Resolves when the worker has left; rejects when the call was cut. */
  async #consume(client: GrpcClient, onJoined: () => void): Promise<void> {
    const over = Promise.withResolvers<MillraceError | null>()
    const call = new ConsumeCall(client, this.#join, {
      onResponse: (response) => {
        if (response.joined !== undefined) onJoined()
        this.#hear(session, response)
      },
      onEnd: over.resolve,
    })
    const session: Session = { call, works: new Map(), over }
    this.#session = session
    const error = await over.promise
    this.#session = null
    this.#lose(session)
    if (error !== null) throw error
  }

  #hear(session: Session, { deliveries, revoke }: ConsumeResponse): void {
    for (const { delivery, reason } of revoke) {
      session.works.get(delivery)?.abort.abort(abortReasons[reason] ?? 'shutdown')
    }
    for (const delivery of deliveries) this.#take(session, delivery)
  }

  #take(session: Session, { delivery, attempt, event, traceparent, tracestate }: Delivery): void {
    // Sent before the server knew.
    if (this.#closing.signal.aborted) {
      session.call.settle(delivery, returned)
      return
    }
    const trace = traceContextOf(traceparent, tracestate)
    const work = { session, delivery, attempt, trace, event: handledEventOf(event!), abort: new AttemptAbort() }
    session.works.set(delivery, work)
    this.#waiting.push(work)
    this.#begin()
  }

  #begin(): void {
    while (this.#waiting.length > 0 && this.#atWork.size < this.#concurrency) {
      const work = this.#waiting.shift()!
      if (work.abort.reason === null) void this.#work(work)
      else this.#return(work)
    }
  }

  async #work(work: Work): Promise<void> {
    const { session, delivery, attempt, trace, event, abort } = work
    this.#atWork.add(work)
    const { ends } = await this.#attempt([event], {
      ...{ attempt, trace, abort },
      progress: () => session.works.has(delivery) && session.call.extend(delivery),
      logger: () => this.#loggerOf(event, trace),
    })
    this.#atWork.delete(work)
    this.#settle(work, ends[0]!)
    this.#begin()
    if (this.#atWork.size === 0) this.#onIdle()
  }

  #settle({ session, delivery, abort }: Work, end: AttemptEnd): void {
    if (!session.works.delete(delivery)) return
    // What the stop has ended is not an attempt.
    const isReturned = end.is === 'failed' && abort.reason === 'shutdown'
    if (isReturned) session.call.settle(delivery, returned)
    else session.call.settle(delivery, outcomeOf(end), end.is === 'done' ? end.reply : undefined)
  }

  /** The server has given to others what was delivered on a call that is over. */
  #lose(session: Session): void {
    const isLost = (work: Work) => work.session === session
    this.#waiting.splice(0, this.#waiting.length, ...this.#waiting.filter((work) => !isLost(work)))
    session.works.clear()
    for (const work of this.#atWork) if (isLost(work)) work.abort.abort('lease_lost')
  }

  async #close(boundMs: number): Promise<void> {
    const shutdownMs = Math.min(maxShutdownMs, boundMs / 2)
    const session = this.#session
    this.#closing.abort()
    session?.call.leave()
    for (const work of this.#waiting.splice(0)) this.#return(work)
    const idle = new Promise<void>((resolve) => {
      this.#onIdle = resolve
      if (this.#atWork.size === 0) resolve()
    })
    if ((await withinMs(idle, boundMs - shutdownMs, 'late')) === 'late') {
      for (const { abort } of this.#atWork) abort.abort('shutdown')
      await withinMs(idle, shutdownMs, null)
      for (const work of this.#atWork) this.#return(work)
    }
    if (session === null) return
    await withinMs(session.over.promise, leaveWithinMs, null)
    session.call.cancel()
  }

  #return({ session, delivery }: Work): void {
    if (session.works.delete(delivery)) session.call.settle(delivery, returned)
  }

  #loggerOf({ id, attributes }: HandledEvent, trace: TraceContext | undefined): Logger {
    const name = requestTypeOf(this.#group.topic) === null ? 'id' : 'request_id'
    return this.#logger!.child({
      ...this.#group,
      [name]: id,
      ...traceFields(trace?.traceparent ?? attributes.traceparent),
    })
  }
}

/** After the reasons that are not named here an outcome still counts. */
const abortReasons: Partial<Record<RevokeReason, AbortReason>> = {
  [RevokeReason.TIMEOUT]: 'timeout',
  [RevokeReason.LEASE_LOST]: 'lease_lost',
}

const returned: OutcomeEnd = { case: 'returned', value: {} }

function outcomeOf(end: AttemptEnd): OutcomeEnd {
  if (end.is === 'done') return { case: 'done', value: {} }
  const { code, message } = end
  if (end.is === 'dead') return { case: 'dead', value: { reason: message } }
  if (end.wasAsked !== true) return { case: 'failed', value: { code, message } }
  return { case: 'retry', value: end.afterMs === null ? {} : { after: toDuration(end.afterMs) } }
}

/** Only what the caller has given: for the rest the group has its own. */
function joinOf(options: WorkOptions | RequestWorkOptions, maxInFlight: number, types: readonly string[]): WorkJoin {
  const { topic = '', group = '', timeoutMs = null, retry = {}, ordered = null, onExhausted = null } = options
  const { maxAttempts = null, initialDelayMs = null, maxDelayMs = null } = retry
  return {
    request: 'request' in options ? options.request : '',
    ...{ topic, group, maxInFlight, types, ordered, onExhausted },
    ...{ timeoutMs, maxAttempts, initialDelayMs, maxDelayMs },
    groupConcurrency: options.groupConcurrency ?? null,
    ratePerSecond: options.ratePerSecond ?? null,
    limitPerKey: options.limitPerKey ?? null,
  }
}

function wrongOption(field: string, problem: string): MillraceError {
  return new MillraceError('invalid_event', `${field} ${problem}`, { field })
}
