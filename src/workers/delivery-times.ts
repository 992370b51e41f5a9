// When this process handed events to handlers, when each attempt began and ended, and when it was settled: the last
// deliveries of all its handlers, in memory, for the journey of an event.
//
// Each delivery of an event has a place in arrays that are made once: nothing is allocated for it unless it fails.

import type { ErrorCode } from '../errors.ts'
import type { AttemptEnd } from './attempt.ts'

/** A longer text is cut. */
const maxMessageLength = 300

export interface AttemptFailure {
  readonly code: ErrorCode
  readonly message: string
}

/** Times in milliseconds since 1970; null: not yet. */
export interface TimesOfDelivery {
  readonly topic: string
  readonly group: string
  readonly attempt: number
  readonly handedOutAtMs: number
  readonly begunAtMs: number
  readonly endedAtMs: number | null
  readonly settledAtMs: number | null
  /** Null when the attempt has not failed. */
  readonly failure: AttemptFailure | null
}

/** What is known of a delivery when its attempt begins. */
export interface BegunDelivery extends Pick<TimesOfDelivery, 'attempt' | 'handedOutAtMs'> {
  readonly to: Pick<TimesOfDelivery, 'topic' | 'group'>
  readonly event: { readonly source: string; readonly id: string }
}

export class DeliveryTimes {
  readonly #maxDeliveries: number
  readonly #now: () => number
  readonly #to: BegunDelivery['to'][] = []
  readonly #sources: string[] = []
  readonly #ids: string[] = []
  readonly #failures: (AttemptFailure | null)[] = []
  readonly #attempts: Uint32Array
  readonly #handedOut: Float64Array
  readonly #begun: Float64Array
  /** 0: not yet. */
  readonly #ended: Float64Array
  readonly #settled: Float64Array
  /** How many deliveries were noted; each is known by its number, from 0. */
  #count = 0

  /** @param now the wall clock, in milliseconds since 1970. */
  constructor(now: () => number, maxDeliveries = 10_000) {
    this.#now = now
    this.#maxDeliveries = maxDeliveries
    const times = () => new Float64Array(maxDeliveries)
    this.#attempts = new Uint32Array(maxDeliveries)
    this.#handedOut = times()
    this.#begun = times()
    this.#ended = times()
    this.#settled = times()
  }

  /** How many deliveries it keeps. */
  get maxDeliveries(): number {
    return this.#maxDeliveries
  }

  /** Notes that an attempt begins, and returns the number of its delivery. */
  begin({ to, event, attempt, handedOutAtMs }: BegunDelivery): number {
    const number = this.#count++
    const place = number % this.#maxDeliveries
    this.#to[place] = to
    this.#sources[place] = event.source
    this.#ids[place] = event.id
    this.#failures[place] = null
    this.#attempts[place] = attempt
    this.#handedOut[place] = handedOutAtMs
    this.#begun[place] = this.#now()
    this.#ended[place] = 0
    this.#settled[place] = 0
    return number
  }

  end(number: number, end: AttemptEnd): void {
    const place = this.#placeOf(number)
    if (place === null) return
    this.#ended[place] = this.#now()
    if (end.is !== 'done') this.#failures[place] = { code: end.code, message: cut(end.message) }
  }

  settle(numbers: readonly number[]): void {
    const now = this.#now()
    for (const number of numbers) {
      const place = this.#placeOf(number)
      if (place !== null) this.#settled[place] = now
    }
  }

  /** The kept deliveries of an event, in the order in which they began. */
  of({ source, id }: BegunDelivery['event']): readonly TimesOfDelivery[] {
    const found: TimesOfDelivery[] = []
    for (let number = Math.max(0, this.#count - this.#maxDeliveries); number < this.#count; number++) {
      const place = number % this.#maxDeliveries
      if (this.#ids[place] !== id || this.#sources[place] !== source) continue
      const { topic, group } = this.#to[place]!
      found.push({
        ...{ topic, group, attempt: this.#attempts[place]! },
        handedOutAtMs: this.#handedOut[place]!,
        begunAtMs: this.#begun[place]!,
        endedAtMs: this.#ended[place] || null,
        settledAtMs: this.#settled[place] || null,
        failure: this.#failures[place]!,
      })
    }
    return found
  }

  /** Null when later deliveries have taken its place. */
  #placeOf(number: number): number | null {
    return this.#count - number > this.#maxDeliveries ? null : number % this.#maxDeliveries
  }
}

/** A copy: a part of a text keeps the whole text in memory. */
function cut(message: string): string {
  if (message.length <= maxMessageLength) return message
  return Buffer.from(message.slice(0, maxMessageLength)).toString()
}
