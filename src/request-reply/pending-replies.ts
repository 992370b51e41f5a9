// The requests of one type whose replies this process waits for.

import type { ReplyListener } from '../event-log/replies.ts'

/** One call that waits. Several may wait for one reply. */
export interface Waiter {
  /** Null until the reply is announced. */
  readonly reply: Uint8Array | null
  /** Resolves when the reply is announced, after `wake()`, or after `ms` milliseconds. */
  wait(ms: number): Promise<void>
  /** Ends the present wait, or else the next one. */
  wake(): void
  /** It waits no more. */
  end(): void
}

export class PendingReplies implements ReplyListener {
  readonly #waiters = new Map<string, Set<OneWait>>()

  add(id: string): Waiter {
    const waiters = this.#waiters.get(id) ?? new Set()
    this.#waiters.set(id, waiters)
    const waiter = new OneWait(() => {
      waiters.delete(waiter)
      if (waiters.size === 0 && this.#waiters.get(id) === waiters) this.#waiters.delete(id)
    })
    waiters.add(waiter)
    return waiter
  }

  onReply(id: string, bytes: Uint8Array): void {
    for (const waiter of this.#waiters.get(id) ?? []) {
      waiter.reply = bytes
      waiter.wake()
    }
  }

  onMissed(): void {
    for (const waiters of this.#waiters.values()) for (const waiter of waiters) waiter.wake()
  }
}

class OneWait implements Waiter {
  reply: Uint8Array | null = null
  readonly end: () => void
  #woken = Promise.withResolvers<void>()

  constructor(onEnd: () => void) {
    this.end = onEnd
  }

  async wait(ms: number): Promise<void> {
    const timer = setTimeout(this.#woken.resolve, ms)
    await this.#woken.promise
    clearTimeout(timer)
    this.#woken = Promise.withResolvers()
  }

  wake(): void {
    this.#woken.resolve()
  }
}
