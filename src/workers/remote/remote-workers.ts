// The workers of one group that are in other processes, as its pool calls them.
//
// Job: know the places of each worker, give an attempt to the one with the most free, and turn its outcome into the end of
// the attempt. A worker that is gone has failed what it had at work.
// Not its job: time limits (with-timeout.ts), retries (deliveries-in-hand.ts), the wire (api/).

import { MillraceError } from '../../errors.ts'
import type { WorkEnd, WorkListener, WorkOutcome, WorkSession } from '../../pipeline/work.ts'
import type { Attempt, AttemptEnd, AttemptResult, LimitedContext } from '../attempt.ts'
import type { HandlerDefinition } from '../define-handler.ts'
import { maxDelayMs } from '../define-handler.ts'
import type { AttemptParts, Attempts } from '../handler-attempt.ts'
import { withMetrics } from '../with-metrics.ts'
import { withTimeout } from '../with-timeout.ts'
import { withTracing } from '../with-tracing.ts'

const noPlace = { is: 'failed', code: 'unavailable', message: 'no worker has a free place', afterMs: null } as const
const notBegun = { ...noPlace, hasNotBegun: true } as const

export class RemoteWorkers implements Attempts {
  readonly attempt: Attempt
  /** A worker that hangs may never answer. */
  readonly retriesLate = true
  readonly outage = null
  readonly #handler: HandlerDefinition
  readonly #onRoom: () => void
  readonly #onEmpty: () => void
  readonly #workers = new Set<RemoteWorker>()
  #free = 0
  #atWork = 0

  /**
   * @param onRoom called when more attempts can be at work at once.
   * @param onEmpty called when the last worker has left.
   */
  constructor(handler: HandlerDefinition, parts: AttemptParts, onRoom: () => void, onEmpty: () => void) {
    this.#handler = handler
    this.#onRoom = onRoom
    this.#onEmpty = onEmpty
    const limit = { timeoutMs: handler.timeoutMs, monotonicNow: parts.monotonicNow }
    const give = withTimeout(limit, (_, context) => this.#freest().give(context))
    const limited = withTracing(handler, parts, withMetrics(handler, parts, give))
    this.attempt = (events, context) =>
      this.#free > 0 ? limited(events, context) : Promise.resolve({ ends: events.map(() => notBegun) })
  }

  /** How many attempts can be at work at once. */
  get places(): number {
    return this.#free + this.#atWork
  }

  async open(): Promise<void> {}

  join(listener: WorkListener, maxInFlight: number): WorkSession {
    const worker = new RemoteWorker(this.#handler, listener, maxInFlight, (...changed) => this.#note(...changed))
    this.#workers.add(worker)
    this.#note(maxInFlight, 0, worker)
    return worker
  }

  /** Ends the sessions of those that are still there. */
  async close(): Promise<void> {
    const error = new MillraceError('draining', 'the server is stopping: join again, at another server')
    for (const worker of [...this.#workers]) worker.end(error)
  }

  #note(free: number, atWork: number, worker: RemoteWorker): void {
    this.#free += free
    this.#atWork += atWork
    if (free + atWork > 0) this.#onRoom()
    if (worker.isClosed && this.#workers.delete(worker) && this.#workers.size === 0) this.#onEmpty()
  }

  #freest(): RemoteWorker {
    let best: RemoteWorker | null = null
    for (const worker of this.#workers) if (best === null || worker.free > best.free) best = worker
    return best!
  }
}

interface AtWork {
  readonly progress: () => void
  readonly end: (result: AttemptResult) => void
}

/** @param free, atWork by how much they have changed. */
type OnChange = (free: number, atWork: number, worker: RemoteWorker) => void

class RemoteWorker implements WorkSession {
  readonly timeoutMs: number
  readonly maxAttempts: number
  readonly #listener: WorkListener
  readonly #maxInFlight: number
  readonly #onChange: OnChange
  readonly #atWork = new Map<number, AtWork>()
  #lastDelivery = 0
  #isLeaving = false
  isClosed = false

  constructor(handler: HandlerDefinition, listener: WorkListener, maxInFlight: number, onChange: OnChange) {
    this.timeoutMs = handler.timeoutMs
    this.maxAttempts = handler.maxAttempts!
    this.#listener = listener
    this.#maxInFlight = maxInFlight
    this.#onChange = onChange
  }

  get free(): number {
    return this.#isLeaving ? 0 : this.#maxInFlight - this.#atWork.size
  }

  give({ attempt, trace, abort, encoded, progress }: LimitedContext): Promise<AttemptResult> {
    const delivery = ++this.#lastDelivery
    return new Promise((end) => {
      this.#change(() => this.#atWork.set(delivery, { progress, end }))
      abort.onAbort = (reason) => {
        // The group was deleted: its event is another's, if the new group gets it.
        if (this.#atWork.has(delivery)) this.#listener.revoke(delivery, reason === 'cancelled' ? 'lease_lost' : reason)
      }
      this.#listener.deliver({ delivery, attempt, trace, batch: encoded!()[0]! })
    })
  }

  settle(outcomes: readonly WorkOutcome[]): void {
    for (const [index, { delivery, end }] of outcomes.entries()) {
      this.#find(delivery, `outcomes[${index}]`)
      if (end.is === 'retry' && end.afterMs !== null && !(end.afterMs >= 0 && end.afterMs <= maxDelayMs)) {
        const text = `it is ${end.afterMs} ms; it must be from 0 to ${maxDelayMs} ms`
        throw wrongField(`outcomes[${index}].retry.after`, text)
      }
      this.#end(delivery, attemptEndOf(end))
    }
  }

  extend(deliveries: readonly number[]): void {
    for (const [index, delivery] of deliveries.entries()) this.#find(delivery, `extend[${index}]`).progress()
  }

  leave(): void {
    this.#change(() => {
      this.#isLeaving = true
    })
    if (this.#atWork.size === 0) this.end(null)
  }

  close(): void {
    if (this.isClosed) return
    this.#change(() => {
      this.isClosed = true
      this.#isLeaving = true
    })
    const message = 'the worker left, or was lost, while it worked on the event'
    const lost = { is: 'failed', code: 'unavailable', message, afterMs: 0, isSuspect: true } as const
    for (const delivery of this.#atWork.keys()) this.#end(delivery, lost)
  }

  end(error: MillraceError | null): void {
    this.close()
    this.#listener.end(error)
  }

  #find(delivery: number, path: string): AtWork {
    const found = this.#atWork.get(delivery)
    if (found !== undefined) return found
    throw wrongField(`${path}.delivery`, `this stream has no delivery ${delivery}: it never had it, or has ended it`)
  }

  #end(delivery: number, end: AttemptEnd): void {
    const work = this.#atWork.get(delivery)!
    this.#change(() => this.#atWork.delete(delivery))
    work.end({ ends: [end] })
    if (this.#isLeaving && !this.isClosed && this.#atWork.size === 0) this.end(null)
  }

  #change(change: () => void): void {
    const [free, atWork] = [this.free, this.#atWork.size]
    change()
    this.#onChange(this.free - free, this.#atWork.size - atWork, this)
  }
}

function attemptEndOf(end: WorkEnd): AttemptEnd {
  switch (end.is) {
    case 'done':
      return end
    case 'dead':
      return { is: 'dead', code: 'invalid_event', message: end.reason }
    case 'failed':
      return { ...end, afterMs: null }
    case 'retry': {
      const message = 'the worker asked for another attempt'
      return { is: 'failed', code: 'unavailable', message, afterMs: end.afterMs, wasAsked: true }
    }
    case 'returned':
      return { ...notBegun, message: 'the worker has given it back' }
  }
}

function wrongField(field: string, problem: string): MillraceError {
  return new MillraceError('invalid_event', `${field}: ${problem}`, { field })
}
