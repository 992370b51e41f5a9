// Limits the time of an attempt, counted from its last sign of progress. A handler that ignores its signal runs on, and
// the end of the attempt says so.
//
// After a block of the event loop its timers run before what the thread of a handler has said meanwhile. So the limit is
// over only when that was read too.

import type { Attempt, AttemptEnd, LimitedAttempt } from './attempt.ts'

export interface TimeoutParts {
  readonly timeoutMs: number
  /** A monotonic clock, in milliseconds. */
  readonly monotonicNow: () => number
}

export function withTimeout({ timeoutMs, monotonicNow }: TimeoutParts, attempt: LimitedAttempt): Attempt {
  const limits = new TimeLimits(timeoutMs, monotonicNow)
  const message = `the handler took longer than ${timeoutMs} ms`
  const late: AttemptEnd = { is: 'failed', code: 'deadline_exceeded', message, afterMs: null }
  return (events, { attempt: number, trace, abort, logger, encoded }) =>
    new Promise((resolve) => {
      const onLate = () => {
        abort.abort('timeout')
        resolve({ ends: events.map(() => late), running })
      }
      limits.start(onLate)
      const progress = () => limits.startAgain(onLate)
      const running = attempt(events, { attempt: number, trace, abort, logger, encoded, progress })
      void running.then((result) => {
        limits.end(onLate)
        resolve(result)
      })
    })
}

/** Limits of one length, so the one that was started first is over first: one timer serves all of them. */
class TimeLimits {
  readonly #lengthMs: number
  readonly #monotonicNow: () => number
  /** What is called at the end of a limit → when it was started; the oldest first. */
  readonly #startedAtMs = new Map<() => void, number>()
  #timer: NodeJS.Timeout | null = null

  constructor(lengthMs: number, monotonicNow: () => number) {
    this.#lengthMs = lengthMs
    this.#monotonicNow = monotonicNow
  }

  start(onLate: () => void): void {
    this.#startedAtMs.set(onLate, this.#monotonicNow())
    this.#timer ??= this.#endLateAfter(this.#lengthMs)
    if (this.#startedAtMs.size === 1) this.#timer.ref()
  }

  /** Without effect when the limit is over or was ended. */
  startAgain(onLate: () => void): void {
    if (this.#startedAtMs.delete(onLate)) this.start(onLate)
  }

  end(onLate: () => void): void {
    this.#startedAtMs.delete(onLate)
    // It goes on for the attempts that come, but keeps no process alive.
    if (this.#startedAtMs.size === 0) this.#timer?.unref()
  }

  #endLateAfter(ms: number): NodeJS.Timeout {
    return setTimeout(() => {
      const lateSinceMs = this.#monotonicNow() - this.#lengthMs
      setImmediate(() => this.#endLate(lateSinceMs))
    }, ms)
  }

  #endLate(lateSinceMs: number): void {
    this.#timer = null
    for (const [onLate, startedAtMs] of this.#startedAtMs) {
      if (startedAtMs > lateSinceMs) {
        this.#timer = this.#endLateAfter(Math.ceil(startedAtMs + this.#lengthMs - this.#monotonicNow()))
        return
      }
      this.#startedAtMs.delete(onLate)
      onLate()
    }
  }
}
