// Notices that the event loop of the process was blocked while handlers had events at work, and names them: meanwhile
// every other handler, publish and answer has waited.
//
// What is known: a call of a handler that does not return for so long has blocked the loop itself. What a handler runs
// after an `await` cannot be told from the rest of the process. Then all handlers are named that had events at work, and
// the time is what the loop was late at least.
//
// Its timer runs only while something is at work, so there is nothing to close.

import type { Logger } from '../telemetry/logger.ts'
import type { Metrics } from '../telemetry/metrics.ts'
import type { LimitedAttempt } from './attempt.ts'

/** A block that is shorter is not reported. */
export const minBlockedMs = 1000

/** How often the loop shows that it turns. */
const turnMs = 100

export interface LoopWatchOptions {
  readonly logger: Logger
  readonly metrics: Metrics
  /** A monotonic clock, in milliseconds. */
  readonly monotonicNow: () => number
}

interface HandlerName {
  readonly topic: string
  readonly group: string
}

/** One for the process. */
export class LoopWatch {
  readonly #options: LoopWatchOptions
  /** The number of attempts at work, of handlers that have any. */
  readonly #atWork = new Map<HandlerName, number>()
  /** Those that had any since the loop has turned. */
  #suspects = new Set<HandlerName>()
  #turnedAtMs = 0
  #timer: NodeJS.Timeout | undefined

  constructor(options: LoopWatchOptions) {
    this.#options = options
  }

  /** Runs an attempt of this handler, which never rejects. */
  run<T>(handler: HandlerName, attempt: () => Promise<T>): Promise<T> {
    const { monotonicNow } = this.#options
    this.#begin(handler)
    const calledAtMs = monotonicNow()
    const running = attempt()
    const returnedAtMs = monotonicNow()
    if (returnedAtMs - calledAtMs >= minBlockedMs) {
      this.#report('call', [handler], returnedAtMs - calledAtMs)
      this.#turnedAtMs = returnedAtMs
    }
    return running.then((result) => {
      this.#end(handler)
      return result
    })
  }

  #begin(handler: HandlerName): void {
    if (this.#atWork.size === 0) {
      this.#turnedAtMs = this.#options.monotonicNow()
      this.#timer = setInterval(() => this.#turn(), turnMs).unref()
    } else if (this.#lateMs() >= minBlockedMs) this.#turn()
    this.#atWork.set(handler, (this.#atWork.get(handler) ?? 0) + 1)
    this.#suspects.add(handler)
  }

  #end(handler: HandlerName): void {
    const left = this.#atWork.get(handler)! - 1
    if (left > 0) this.#atWork.set(handler, left)
    else this.#atWork.delete(handler)
    if (this.#atWork.size > 0) return
    this.#turn()
    clearInterval(this.#timer)
  }

  #lateMs(): number {
    return this.#options.monotonicNow() - this.#turnedAtMs - turnMs
  }

  #turn(): void {
    const lateMs = this.#lateMs()
    if (lateMs >= minBlockedMs) this.#report('late', [...this.#suspects], lateMs)
    this.#turnedAtMs = this.#options.monotonicNow()
    this.#suspects = new Set(this.#atWork.keys())
  }

  #report(seen: 'call' | 'late', handlers: readonly HandlerName[], blockedMs: number): void {
    const { logger, metrics } = this.#options
    for (const { topic, group } of handlers) metrics.handlerBlocked.add(blockedMs / 1000, { topic, group })
    const names = handlers.map(({ topic, group }) => `${group} of ${topic}`).join(', ')
    const fields = {
      handlers: handlers.map(({ topic, group }) => `${topic}/${group}`),
      blocked_ms: Math.floor(blockedMs),
    }
    const what =
      seen === 'call'
        ? `the handler ${names} blocked the event loop for ${fields.blocked_ms} ms`
        : `the event loop was blocked for ${fields.blocked_ms} ms while events were at work in ${names}`
    logger.warn(fields, `${what}: split CPU work, or give its handler isolate: true`)
  }
}

export function withLoopWatch(handler: HandlerName, loopWatch: LoopWatch, attempt: LimitedAttempt): LimitedAttempt {
  return (events, context) => loopWatch.run(handler, () => attempt(events, context))
}
