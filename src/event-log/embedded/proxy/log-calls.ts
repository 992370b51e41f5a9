// Calls of the log's thread: turns refusals into errors, and the first failure into the end of the log.

import type { Transferable } from 'node:worker_threads'
import { MillraceError, toMillraceError } from '../../../errors.ts'
import { SqliteFailure } from '../../../lib/sqlite/failure.ts'
import { isRefusal, type LogThread, type LogThreadMethods, type Refusal } from '../protocol.ts'
import { closed, finalError, unknownOutcome } from './log-failure.ts'

type Granted<M extends keyof LogThreadMethods> = Exclude<Awaited<ReturnType<LogThreadMethods[M]>>, Refusal>

/** The calls whose outcome is unknown when the log has failed. */
const changesEvents: ReadonlySet<string> = new Set([
  'append',
  'reopen',
  'settle',
  'setFlow',
  'drop',
  'giveBack',
  'leave',
  'release',
])

export class LogCalls {
  readonly #thread: LogThread
  readonly #failed = Promise.withResolvers<MillraceError>()
  #failure: MillraceError | null = null
  readonly #inProgress = new Set<Promise<unknown>>()
  #isClosed = false
  #hasEnded = false

  constructor(thread: LogThread) {
    this.#thread = thread
    void thread.failed.then((failure) => this.#fail(failure))
  }

  /** Resolves with the reason when nothing more can be committed. */
  get failed(): Promise<MillraceError> {
    return this.#failed.promise
  }

  /** Calls back at the end of a turn, before its calls are sent; they are kept when it returns false. */
  beforeSend(last: () => boolean): void {
    this.#thread.beforeSend = last
  }

  sendSoon(): void {
    this.#thread.sendSoon()
  }

  get hasFailed(): boolean {
    return this.#failure !== null
  }

  /** Throws when the log has failed or is closed. */
  checkUsable(): void {
    if (this.#failure !== null) throw unknownOutcome(this.#failure)
    if (this.#isClosed) throw closed()
  }

  /** From now on `checkUsable` throws; calls in progress and those of the consumers are still answered. */
  close(): void {
    this.#isClosed = true
  }

  /** Rejects with the refusal, or with `unavailable` when the log has failed. */
  async ask<M extends keyof LogThreadMethods & string>(
    method: M,
    call: Parameters<LogThreadMethods[M]>[0],
    transfer: readonly Transferable[] = [],
  ): Promise<Granted<M>> {
    if (this.#failure !== null) throw unknownOutcome(this.#failure)
    if (this.#hasEnded) throw closed()
    const asking = this.#thread.call(method, call, transfer)
    this.#inProgress.add(asking)
    let answer: unknown
    try {
      answer = await asking
    } catch (thrown) {
      this.#fail(thrown)
      // What is found to be damaged during a start is to be named as that.
      const failure = this.#failure as MillraceError | null
      if (failure?.code === 'corrupt' && !changesEvents.has(method)) throw failure
      throw unknownOutcome(thrown)
    } finally {
      this.#inProgress.delete(asking)
    }
    if (isRefusal(answer)) throw toError(answer)
    return answer as Granted<M>
  }

  /** Ends the thread when everything called before is done. */
  async end(): Promise<void> {
    try {
      if (this.#failure === null) await this.ask('close', null)
      await Promise.allSettled(this.#inProgress)
    } finally {
      this.#hasEnded = true
      await this.#thread.close()
    }
  }

  #fail(thrown: unknown): void {
    if (this.#failure !== null || this.#hasEnded) return
    this.#failure = thrown instanceof SqliteFailure ? finalError(thrown) : toMillraceError(thrown)
    this.#failed.resolve(this.#failure)
  }
}

export function toError({ refused, message, options }: Refusal): MillraceError {
  return new MillraceError(refused, message, options)
}
