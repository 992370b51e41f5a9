// The reads of topics in progress, which an append wakes when they have found nothing.

import type { StreamName } from '../../event-log.ts'
import type { TailCall } from '../protocol.ts'

/** The longest delay that setTimeout takes: a longer one would fire at once. */
const longestTimerMs = 2 ** 31 - 1

export class TailWaiter {
  readonly topic: string
  readonly #endsAt: number
  #isEnded = false
  #appends = 0
  #changed = () => {}

  constructor({ topic, maxWaitMs }: TailCall) {
    this.topic = topic
    this.#endsAt = performance.now() + maxWaitMs
  }

  /** How often something was appended to the topic. */
  get appends(): number {
    return this.#appends
  }

  /** Resolves with true when something was appended after `heard`, with false when the call is over. */
  async wait(heard: number): Promise<boolean> {
    const leftMs = this.#endsAt - performance.now()
    if (this.#appends === heard && !this.#isEnded && leftMs > 0) {
      const { promise, resolve } = Promise.withResolvers<void>()
      const timer = setTimeout(resolve, Math.min(leftMs, longestTimerMs))
      this.#changed = resolve
      await promise
      clearTimeout(timer)
    }
    return this.#appends !== heard && !this.#isEnded
  }

  wake(): void {
    this.#appends++
    this.#changed()
  }

  end(): void {
    this.#isEnded = true
    this.#changed()
  }
}

export class TailWaiters {
  /** By the number of the call. */
  readonly #waiters = new Map<number, TailWaiter>()

  #turns = 0

  /** A number that grows: each read begins with another stream. */
  nextTurn(): number {
    return this.#turns++
  }

  /** From now on appends and the end of the call are noticed, until `remove`. */
  add(call: TailCall): TailWaiter {
    const waiter = new TailWaiter(call)
    this.#waiters.set(call.call, waiter)
    return waiter
  }

  remove({ call }: TailCall): void {
    this.#waiters.delete(call)
  }

  /** To be called when appends to these streams are durable. */
  wake(streams: readonly StreamName[]): void {
    if (this.#waiters.size === 0) return
    const topics = new Set(streams.map(({ topic }) => topic))
    for (const waiter of this.#waiters.values()) if (topics.has(waiter.topic)) waiter.wake()
  }

  end(call: number): void {
    this.#waiters.get(call)?.end()
  }

  endAll(): void {
    for (const waiter of this.#waiters.values()) waiter.end()
  }
}
