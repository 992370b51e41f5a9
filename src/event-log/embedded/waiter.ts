// Pending calls of `Consumer.next`.
//
// A waiter is open until it is finished. Meanwhile it may be sealed: deliveries for it are part of a transaction that
// is being committed. A caller that gives up then gets its empty list at once, and the deliveries are given back to the
// group when they are durable.

import type { Delivery, NextOptions } from '../event-log.ts'
import type { GroupState } from './group-state.ts'
import type { HeldEntry } from './held-entry.ts'

export interface WaiterOptions {
  readonly next: NextOptions
  readonly resolve: (deliveries: readonly Delivery[]) => void
  readonly reject: (reason: unknown) => void
  /** Called with the durable entries; the waiter may have been given up meanwhile. */
  readonly receive: (held: readonly HeldEntry[]) => void
  /** Called when `maxWaitMs` is over; the waiter is then expired. */
  readonly onExpired: () => void
  /** Called when the caller has given up; the waiter is then finished. */
  readonly onGivenUp: () => void
}

export class Waiter {
  readonly next: NextOptions
  readonly #options: WaiterOptions
  readonly #timer: NodeJS.Timeout | null
  isExpired: boolean
  isSealed = false
  isFinished = false

  constructor(options: WaiterOptions) {
    this.#options = options
    const { maxWaitMs, signal } = options.next
    this.next = options.next
    this.isExpired = maxWaitMs <= 0
    this.#timer = this.isExpired ? null : setTimeout(() => this.#expire(), maxWaitMs)
    signal?.addEventListener('abort', this.giveUp, { once: true })
  }

  receive(held: readonly HeldEntry[]): void {
    this.#options.receive(held)
  }

  /** Resolves the call with these deliveries. */
  finish(deliveries: readonly Delivery[]): void {
    if (!this.#end()) return
    this.#options.resolve(deliveries)
  }

  fail(reason: unknown): void {
    if (!this.#end()) return
    this.#options.reject(reason)
  }

  /** Resolves the call with an empty list, because the caller has given up. */
  readonly giveUp = (): void => {
    if (this.isFinished) return
    this.finish([])
    this.#options.onGivenUp()
  }

  #expire(): void {
    this.isExpired = true
    this.#options.onExpired()
  }

  #end(): boolean {
    if (this.isFinished) return false
    this.isFinished = true
    if (this.#timer !== null) clearTimeout(this.#timer)
    this.#options.next.signal?.removeEventListener('abort', this.giveUp)
    return true
  }
}

/** The waiters of each group. */
export class WaitingRoom {
  readonly #waiters = new Map<GroupState, Waiter[]>()

  /** The groups that have waiters. */
  groups(): GroupState[] {
    return [...this.#waiters.keys()]
  }

  /** The waiters of a group, the longest waiting first. */
  of(group: GroupState): readonly Waiter[] {
    return [...(this.#waiters.get(group) ?? [])]
  }

  enter(group: GroupState, waiter: Waiter): void {
    const waiters = this.#waiters.get(group)
    if (waiters === undefined) this.#waiters.set(group, [waiter])
    else waiters.push(waiter)
  }

  enterFirst(group: GroupState, waiter: Waiter): void {
    this.#waiters.set(group, [waiter, ...this.of(group)])
  }

  leave(group: GroupState, waiter: Waiter): void {
    const rest = this.of(group).filter((other) => other !== waiter)
    if (rest.length === 0) this.#waiters.delete(group)
    else this.#waiters.set(group, rest)
  }

  /** Removes and returns the waiters of a group. */
  clear(group: GroupState): readonly Waiter[] {
    const all = this.of(group)
    this.#waiters.delete(group)
    return all
  }

  /** Removes and returns all waiters. */
  empty(): Waiter[] {
    const all = [...this.#waiters.values()].flat()
    this.#waiters.clear()
    return all
  }
}
