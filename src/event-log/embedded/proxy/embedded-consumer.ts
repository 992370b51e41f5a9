// One member of a group, in this process. It needs no heartbeat: it can only die together with the process, and opening
// the log ends all earlier leases.

import { MillraceError } from '../../errors.ts'
import type { Consumer, Delivery, NextOptions, Outcome } from '../event-log.ts'
import { groupNotFound } from './find-place.ts'
import type { GroupCommit } from './group-commit.ts'
import type { GroupState } from './group-state.ts'
import type { HeldEntry } from './held-entry.ts'
import { unknownOutcome } from './log-failure.ts'
import { Waiter } from './waiter.ts'

export interface EmbeddedConsumerOptions {
  readonly groupCommit: GroupCommit
  readonly group: GroupState
  readonly epoch: number
  /** Creates the id of a delivery. */
  readonly nextDeliveryId: () => string
  readonly onClosed: (consumer: EmbeddedConsumer) => void
}

export class EmbeddedConsumer implements Consumer {
  readonly #options: EmbeddedConsumerOptions
  readonly #held = new Map<string, HeldEntry>()
  #waiter: Waiter | null = null
  /** Waiters that were given up with deliveries in flight to them; each resolves when those have been given back. */
  readonly #returning = new Map<Waiter, PromiseWithResolvers<void>>()
  #closed: Promise<void> | null = null

  constructor(options: EmbeddedConsumerOptions) {
    this.#options = options
  }

  next(options: NextOptions): Promise<readonly Delivery[]> {
    const { groupCommit, group } = this.#options
    if (groupCommit.failure !== null) return Promise.reject(unknownOutcome(groupCommit.failure))
    if (this.#closed !== null) {
      return Promise.reject(new MillraceError('failed_precondition', 'the consumer is closed'))
    }
    if (group.isDropped) return Promise.reject(groupNotFound(group.topic, group.name))
    if (this.#waiter !== null && !this.#waiter.isFinished) {
      return Promise.reject(new MillraceError('internal', 'next() was called while an earlier call was waiting'))
    }
    if (options.signal?.aborted === true) return Promise.resolve([])
    return new Promise((resolve, reject) => {
      const waiter = new Waiter({
        next: options,
        resolve,
        reject,
        receive: (held) => this.#receive(waiter, held),
        onExpired: () => groupCommit.expired(group, waiter),
        onGivenUp: () => this.#givenUp(waiter),
      })
      this.#waiter = waiter
      groupCommit.wait(group, waiter)
    })
  }

  async settle(outcomes: readonly Outcome[]): Promise<readonly Delivery[]> {
    const { groupCommit, group } = this.#options
    if (groupCommit.failure !== null) throw unknownOutcome(groupCommit.failure)
    if (group.isDropped) throw groupNotFound(group.topic, group.name)
    for (const outcome of outcomes) checkSum(outcome, this.#held.get(outcome.delivery.id))
    const held: HeldEntry[] = []
    const accepted: Outcome[] = []
    const refused: Delivery[] = []
    for (const outcome of outcomes) {
      const { id } = outcome.delivery
      const entry = this.#held.get(id)
      if (entry === undefined) {
        refused.push(outcome.delivery)
      } else {
        this.#held.delete(id)
        held.push(entry)
        accepted.push(outcome)
      }
    }
    if (held.length > 0) {
      await new Promise<void>((resolve, reject) => groupCommit.settle({ held, outcomes: accepted, resolve, reject }))
    }
    return refused
  }

  close(): Promise<void> {
    this.#closed ??= this.#close()
    return this.#closed
  }

  async #close(): Promise<void> {
    const { groupCommit, onClosed } = this.#options
    this.#waiter?.giveUp()
    const held = [...this.#held.values()]
    this.#held.clear()
    const returning = Array.from(this.#returning.values(), ({ promise }) => promise)
    const returned = Promise.all([held.length > 0 ? groupCommit.giveBack(held) : null, ...returning])
    try {
      // When the log has failed, nothing can be given back: the next opening ends the lease.
      await Promise.race([returned, groupCommit.failed])
    } catch (thrown) {
      if (groupCommit.failure === null) throw thrown
    }
    onClosed(this)
  }

  #receive(waiter: Waiter, held: readonly HeldEntry[]): void {
    if (waiter.isFinished) {
      this.#return(waiter, held)
      return
    }
    const deliveries = held.map((entry) => {
      const delivery = entry.delivery(this.#options.nextDeliveryId(), this.#options.epoch)
      this.#held.set(delivery.id, entry)
      return delivery
    })
    waiter.finish(deliveries)
  }

  /** Gives back entries that arrive for a waiter that was given up. */
  #return(waiter: Waiter, held: readonly HeldEntry[]): void {
    const done = () => {
      this.#returning.get(waiter)?.resolve()
      this.#returning.delete(waiter)
    }
    if (held.length === 0) done()
    else this.#options.groupCommit.giveBack(held).then(done, done)
  }

  #givenUp(waiter: Waiter): void {
    if (waiter.isSealed) this.#returning.set(waiter, Promise.withResolvers())
    else this.#options.groupCommit.givenUp(this.#options.group, waiter)
  }
}

/** Throws `internal` unless the outcome counts every event of the delivery exactly once. */
function checkSum({ delivery, landed, dead, again = [] }: Outcome, held: HeldEntry | undefined): void {
  if (held === undefined) return
  const counts = [landed, dead, ...again.map(({ batch }) => batch.count)]
  const sum = counts.reduce((total, count) => total + count, 0)
  if (sum === held.entry.count && counts.every((count) => Number.isInteger(count) && count >= 0)) return
  throw new MillraceError(
    'internal',
    `the outcome of delivery ${delivery.id} counts ${sum} events; the delivery has ${held.entry.count}`,
  )
}
