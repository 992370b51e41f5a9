// The thread of an isolated handler, as the process sees it: at most one at a time, started again when it has ended.
//
// Job: hand calls to the thread and their ends back; serve what the handlers' contexts ask for; end a thread in which a
// call ignores its signal. When a thread ends, the calls that had begun in it have failed, and their events are suspect;
// those that had not begun go to the next thread as they are. While no thread can start no call begins, and a start is
// tried again and again.
// Not its job: time limits (with-timeout.ts), and which calls may run side by side (attempt-gate.ts).

import { setImmediate as nextTurn, setTimeout as sleep } from 'node:timers/promises'
import { inspect } from 'node:util'
import { Worker } from 'node:worker_threads'
import { MillraceError, toMillraceError } from '../../errors.ts'
import { backoffMs } from '../../lib/backoff.ts'
import { threadScript } from '../../lib/thread-script.ts'
import type { Logger } from '../../telemetry/logger.ts'
import type { Metrics } from '../../telemetry/metrics.ts'
import type { AttemptContext, AttemptResult, LimitedAttempt } from '../attempt.ts'
import type { AttemptAbort } from '../attempt-abort.ts'
import type { AbortReason, HandlerContext, HandlerDefinition, HandlerModule } from '../define-handler.ts'
import { type HandledEvent, toPlainEvent } from '../handled-event.ts'
import type { Outage } from '../pool.ts'
import { type PublishMessageTo, refuseLate } from '../publish-events.ts'
import { outageBackoff } from '../retry-policy.ts'
import { type FromThread, type ThreadData, type ToThread, toPlainError } from './thread-messages.ts'

/** A thread whose heap grows above this many MiB is ended. */
const maxHeapMb = 768

/**
 * At this limit V8 ends a thread by itself, but often takes the process with it, as it leaves only 16 MiB to get out. So
 * the heap is looked at in time. It is not lower than this: up to `maxHeapMb` a heap of 512 MiB may keep its garbage.
 */
const lastResortHeapMb = 1024

const lookMs = 100

/** How long a thread may be silent, while calls wait, beyond the time limit and the patience that a call has. */
const maxSilenceMs = 1000

/** A thread that has not imported its module after this time is ended. */
const maxStartMs = 60_000

export interface HandlerThreadOptions {
  readonly handler: HandlerDefinition
  readonly module: HandlerModule
  /** Where uploaded files are. */
  readonly filesDir: string
  readonly publish: PublishMessageTo
  readonly logger: Logger
  readonly metrics: Metrics
  /** The wall clock, in milliseconds since 1970. */
  readonly now: () => number
  /** A monotonic clock, in milliseconds. */
  readonly monotonicNow: () => number
  /** 0 <= random() < 1. */
  readonly random: () => number
  /** Called when a thread has started after an outage. */
  readonly onOutageEnd: () => void
}

interface Thread {
  readonly worker: Worker
  /** Resolves with null when it has the handler, or with the reason why it has ended before. */
  readonly opened: PromiseWithResolvers<string | null>
  isReady: boolean
  /** When it last said something, or got its only call. */
  heardAtMs: number
  /** Why it is about to end, when that is known. */
  endsBecause: string | null
}

interface Call {
  readonly id: number
  readonly events: readonly HandledEvent[]
  readonly context: AttemptContext
  /** Resolves when the handler has been called (true), or never will be. */
  readonly begun: PromiseWithResolvers<boolean>
  readonly ended: PromiseWithResolvers<AttemptResult>
  isBegun: boolean
  progress: () => void
  logger: HandlerContext['logger'] | null
  /** Ends the thread when the call has ignored its signal for too long. */
  patience: NodeJS.Timeout | undefined
}

export class HandlerThread {
  readonly #options: HandlerThreadOptions
  readonly #logger: Logger
  #thread: Thread | null = null
  #isOpen = false
  /** Why threads cannot start. */
  #outage: Outage | null = null
  #failedStarts = 0
  #lastId = 0
  /** Those that have not ended. */
  readonly #calls = new Map<number, Call>()
  readonly #callOf = new WeakMap<AttemptAbort, Call>()

  constructor(options: HandlerThreadOptions) {
    const { topic, group } = options.handler
    this.#options = options
    this.#logger = options.logger.child({ topic, group })
  }

  /** Why no call can begin; null while they can. */
  get outage(): Outage | null {
    return this.#outage
  }

  /** Starts the first thread. Errors: `failed_precondition` (it cannot get the handler from its module). */
  async open(): Promise<void> {
    const reason = await this.#start()
    this.#isOpen = reason === null
    if (this.#isOpen) return
    const { handler, module } = this.#options
    const text = `the handler of group ${handler.group} cannot run in a thread: ${module.url}: ${reason}`
    throw new MillraceError('failed_precondition', text, { field: 'MILLRACE_HANDLERS' })
  }

  /** Resolves with true when the thread has called the handler, and `finish` waits for the end; with false if it never will. */
  begin(events: readonly HandledEvent[], context: AttemptContext): Promise<boolean> {
    if (!this.#isOpen || this.#outage !== null) return Promise.resolve(false)
    const call: Call = {
      ...{ id: ++this.#lastId, events, context, isBegun: false, logger: null, patience: undefined },
      ...{ begun: Promise.withResolvers(), ended: Promise.withResolvers(), progress: () => {} },
    }
    this.#calls.set(call.id, call)
    this.#callOf.set(context.abort, call)
    const { signal } = context.abort
    signal.addEventListener('abort', () => this.#abort(call, signal.reason as AbortReason), { once: true })
    this.#send(call)
    return call.begun.promise
  }

  readonly finish: LimitedAttempt = (_, { abort, progress }) => {
    const call = this.#callOf.get(abort)!
    call.progress = progress
    return call.ended.promise
  }

  /** Ends the thread, and with it what runs in it. Idempotent. */
  async close(): Promise<void> {
    this.#isOpen = false
    await this.#thread?.worker.terminate()
  }

  /** Resolves with null when there is a thread that has the handler, or with the reason why not. */
  #start(): Promise<string | null> {
    try {
      this.#thread ??= this.#newThread()
      return this.#thread.opened.promise
    } catch (thrown) {
      const why = textOf(thrown)
      if (this.#isOpen) void this.#startLater(why)
      return Promise.resolve(why)
    }
  }

  /** Throws when the process cannot have another thread. */
  #newThread(): Thread {
    const { module, filesDir } = this.#options
    const worker = new Worker(threadScript('thread-script', import.meta.url), {
      workerData: { module, filesDir } satisfies ThreadData,
      resourceLimits: { maxOldGenerationSizeMb: lastResortHeapMb },
    })
    const thread: Thread = {
      ...{ worker, opened: Promise.withResolvers(), isReady: false, endsBecause: null },
      heardAtMs: this.#options.monotonicNow(),
    }
    const late = () => this.#stop(thread, `its module was not imported within ${maxStartMs} ms`)
    const timer = setTimeout(late, maxStartMs)
    void thread.opened.promise.then(() => clearTimeout(timer))
    void this.#watch(thread)
    worker.on('message', (message: FromThread | null | undefined) => {
      // The handler's module could post messages of its own.
      if (message?.is !== undefined) this.#hear(thread, message)
    })
    worker.on('error', (thrown: unknown) => {
      thread.endsBecause ??= textOf(thrown)
    })
    worker.on('exit', (code) => this.#exited(thread, thread.endsBecause ?? `exit code ${code}`))
    return thread
  }

  #send({ id, events, context }: Call): void {
    void this.#start()
    const thread = this.#thread
    if (thread === null) return
    if (this.#calls.size === 1) thread.heardAtMs = this.#options.monotonicNow()
    const { attempt, trace } = context
    const call = { is: 'call', call: id, attempt, trace, events: events.map(toPlainEvent) } as const
    thread.worker.postMessage(call satisfies ToThread)
  }

  #abort(call: Call, reason: AbortReason): void {
    if (!this.#calls.has(call.id)) return
    const thread = this.#thread!
    thread.worker.postMessage({ is: 'abort', call: call.id, reason } satisfies ToThread)
    if (reason !== 'timeout') return
    const { timeoutMs } = this.#options.handler
    const why = `a call went on for ${timeoutMs} ms after its time limit`
    const onTime = () => setImmediate(() => this.#calls.has(call.id) && this.#stop(thread, why))
    call.patience = setTimeout(onTime, timeoutMs)
  }

  /** Ends a thread that has too much in its heap, or that something which is no call keeps from turning. */
  async #watch(thread: Thread): Promise<void> {
    const { handler, monotonicNow } = this.#options
    const longestSilenceMs = 2 * handler.timeoutMs + maxSilenceMs
    await thread.opened.promise
    while (this.#thread === thread) {
      await sleep(lookMs, undefined, { ref: false })
      // When this loop was blocked, the thread's messages are read only now (with-timeout.ts).
      await nextTurn()
      if (this.#calls.size === 0) continue
      if (monotonicNow() - thread.heardAtMs > longestSilenceMs)
        this.#stop(thread, `it has not turned for ${longestSilenceMs} ms`)
      const heap = await thread.worker.getHeapStatistics().catch(() => null)
      if (heap !== null && heap.used_heap_size > maxHeapMb * 1024 * 1024)
        this.#stop(thread, `its heap has grown above ${maxHeapMb} MiB`)
    }
  }

  #stop(thread: Thread, why: string): void {
    thread.endsBecause ??= why
    void thread.worker.terminate()
  }

  #hear(thread: Thread, message: FromThread): void {
    thread.heardAtMs = this.#options.monotonicNow()
    if (message.is === 'ready') {
      thread.isReady = true
      thread.opened.resolve(null)
      this.#endOutage()
    } else if (message.is === 'unusable') thread.endsBecause = message.reason
    else if (message.is === 'publish') void this.#publish(thread, message)
    else if (message.is === 'line') this.#write(message)
    else this.#hearOf(this.#calls.get(message.call), message)
  }

  #hearOf(call: Call | undefined, message: FromThread & { readonly is: 'begun' | 'progress' | 'ended' }): void {
    if (call === undefined) return
    if (message.is === 'progress') call.progress()
    else if (message.is === 'ended') this.#end(call, { ends: message.ends })
    else {
      call.isBegun = true
      call.begun.resolve(true)
    }
  }

  #write({ call: id, level, line }: FromThread & { readonly is: 'line' }): void {
    const call = this.#calls.get(id)
    if (call !== undefined) call.logger ??= call.context.logger()
    const logger = call?.logger ?? this.#logger
    if (line.length === 1) logger[level](line[0])
    else logger[level](...line)
  }

  async #publish(
    { worker }: Thread,
    { call, number, topic, message }: FromThread & { readonly is: 'publish' },
  ): Promise<void> {
    const send = async () => {
      const atWork = this.#calls.get(call)
      // The thread has not heard of it yet.
      if (atWork !== undefined) refuseLate(atWork.context.abort)
      await this.#options.publish(topic, message)
    }
    const error = await send().then(
      () => null,
      (thrown: unknown) => toPlainError(toMillraceError(thrown)),
    )
    worker.postMessage({ is: 'published', number, error } satisfies ToThread)
  }

  #exited(thread: Thread, why: string): void {
    const { handler, metrics } = this.#options
    const { topic, group } = handler
    this.#thread = null
    thread.opened.resolve(why)
    const begun = [...this.#calls.values()].filter(({ isBegun }) => isBegun)
    for (const call of begun) this.#fail(call, `the thread of the handler ended while it worked on the event: ${why}`)
    if (!this.#isOpen) {
      this.#returnCalls()
      return
    }
    metrics.handlerThreadsEnded.add(1, { topic, group })
    if (!thread.isReady) {
      void this.#startLater(why)
      return
    }
    this.#logger.warn({ calls: begun.length }, `the thread of the handler ended: ${why}`)
    for (const call of this.#calls.values()) this.#send(call)
    // For the attempts that come. A thread that ends without a call is not started again for nothing.
    if (begun.length > 0) void this.#start()
  }

  /** No thread can start: nothing begins until one has. */
  async #startLater(why: string): Promise<void> {
    const { now, random } = this.#options
    const code = 'unavailable'
    const reason = `the thread of the handler cannot start: ${why}`
    if (this.#outage === null) this.#logger.error({ code }, `${reason}; retrying`)
    this.#outage = { code, reason, sinceMs: this.#outage?.sinceMs ?? now() }
    this.#returnCalls()
    await sleep(backoffMs(++this.#failedStarts, outageBackoff, random()), undefined, { ref: false })
    if (this.#isOpen) void this.#start()
  }

  #endOutage(): void {
    if (this.#outage === null) return
    this.#outage = null
    this.#failedStarts = 0
    this.#logger.info('the thread of the handler has started')
    this.#options.onOutageEnd()
  }

  /** Those that have not begun never will. */
  #returnCalls(): void {
    for (const { id, begun } of this.#calls.values()) {
      this.#calls.delete(id)
      begun.resolve(false)
    }
  }

  /** The thread has ended, and what had begun in it may be why. */
  #fail(call: Call, message: string): void {
    const end = { is: 'failed', code: 'internal', message, afterMs: null, isSuspect: true } as const
    this.#end(call, { ends: call.events.map(() => end) })
  }

  #end(call: Call, result: AttemptResult): void {
    clearTimeout(call.patience)
    this.#calls.delete(call.id)
    call.ended.resolve(result)
  }
}

function textOf(thrown: unknown): string {
  return thrown instanceof Error ? `${thrown.name}: ${thrown.message}` : inspect(thrown)
}
