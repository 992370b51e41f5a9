// A live feed whose frames a test writes, for the tests of api/.

import type { MillraceError } from '../errors.ts'
import type { Live, LiveFrame, LiveQuery, LiveSubscription, SubscriberStatus } from '../pipeline/live.ts'

export class ScriptedLive implements Live {
  readonly subscriptions: ScriptedSubscription[] = []
  statuses: SubscriberStatus[] = []
  /** While set, every subscription is refused with it. */
  failure: MillraceError | null = null
  /** The first frames of each new subscription. */
  firstFrames: readonly (LiveFrame | MillraceError | null)[] = []

  async subscribe(query: LiveQuery): Promise<LiveSubscription> {
    if (this.failure !== null) throw this.failure
    const subscription = new ScriptedSubscription(query, query.subscriberId || `s-${this.subscriptions.length}`)
    subscription.push(...this.firstFrames)
    this.subscriptions.push(subscription)
    return subscription
  }

  async landedCursor(topic: string): Promise<string | null> {
    return `landed-${topic}`
  }

  async subscribers(): Promise<readonly SubscriberStatus[]> {
    return this.statuses
  }
}

export class ScriptedSubscription implements LiveSubscription {
  readonly query: LiveQuery
  readonly subscriberId: string
  readonly startCursor = 'start'
  isClosed = false
  /** How many frames were asked for. */
  asked = 0
  readonly #frames: (LiveFrame | MillraceError | null)[] = []
  #waiting: PromiseWithResolvers<LiveFrame | null> | null = null

  constructor(query: LiveQuery, subscriberId: string) {
    this.query = query
    this.subscriberId = subscriberId
  }

  /** Null ends it; an error is thrown. */
  push(...frames: readonly (LiveFrame | MillraceError | null)[]): void {
    this.#frames.push(...frames)
    this.#answer()
  }

  next(): Promise<LiveFrame | null> {
    this.asked++
    this.#waiting = Promise.withResolvers()
    const { promise } = this.#waiting
    this.#answer()
    return promise
  }

  endSoon(): void {
    this.push(null)
  }

  end(error: MillraceError): void {
    this.push(error)
  }

  close(): void {
    this.isClosed = true
    this.#waiting?.resolve(null)
  }

  #answer(): void {
    if (this.isClosed) this.#waiting?.resolve(null)
    if (this.#waiting === null || this.#frames.length === 0) return
    const frame = this.#frames.shift()!
    if (frame instanceof Error) this.#waiting.reject(frame)
    else this.#waiting.resolve(frame)
    this.#waiting = null
  }
}
