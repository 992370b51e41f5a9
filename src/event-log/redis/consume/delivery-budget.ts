// How much one call of `next` may hand out over all partitions, and how much of that one script may take.
//
// Entries are never split, and the first entry of a call is handed out even when it exceeds the limits. That exception is
// per call, so only a script that gets the whole rest may use it. Scripts that run concurrently get shares whose sum is
// within the budget, and none may exceed its share.

import { type Lane, lanes } from '../../../event/event.ts'
import { maxNextBytes, type NextOptions } from '../../event-log.ts'

/** What one script may take. */
export interface Share {
  /** The lanes with budget left. */
  readonly open: ReadonlySet<Lane>
  /** The limit arguments of take.lua. */
  readonly limits: readonly number[]
  /** Whether a script that took this many events of a lane may have left some because its share was used up. */
  isUsedUp(lane: Lane, events: number): boolean
}

export class DeliveryBudget {
  readonly #maxEvents: Readonly<Record<Lane, number>>
  readonly #maxBytes: number
  readonly #taken: Record<Lane, number> = { high: 0, normal: 0, low: 0 }
  #bytes = 0
  #isEmpty = true

  constructor({ maxEvents, maxBytes = maxNextBytes }: NextOptions) {
    this.#maxEvents = maxEvents
    this.#maxBytes = Math.min(maxBytes, maxNextBytes)
  }

  get isExhausted(): boolean {
    return lanes.every((lane) => this.#left(lane) <= 0) || (!this.#isEmpty && this.#bytes >= this.#maxBytes)
  }

  /** The whole rest, for one script. */
  rest(): Share {
    const events = lanes.flatMap((lane) => [this.#maxEvents[lane], this.#taken[lane]])
    return {
      open: new Set(lanes.filter((lane) => this.#left(lane) > 0)),
      limits: [Math.max(0, this.#maxBytes - this.#bytes), this.#isEmpty ? 1 : 0, ...events],
      isUsedUp: () => false,
    }
  }

  /** Whether each share of that many has an event at least in each lane. */
  isEnoughFor(parts: number): boolean {
    return !this.isExhausted && lanes.every((lane) => this.#left(lane) <= 0 || this.#left(lane) >= parts)
  }

  /** Equal shares for scripts that run concurrently. */
  shares(parts: number): readonly Share[] {
    return Array.from({ length: parts }, (_, part) => {
      const of = (lane: Lane) => {
        const left = Math.max(0, this.#left(lane))
        return Math.floor(left / parts) + (part < left % parts ? 1 : 0)
      }
      // One event counts as already taken, so that the exception for the first entry does not apply.
      const events = lanes.flatMap((lane) => (of(lane) === 0 ? [0, 0] : [of(lane) + 1, 1]))
      return {
        open: new Set(lanes.filter((lane) => of(lane) > 0)),
        limits: [Math.floor((this.#maxBytes - this.#bytes) / parts), 0, ...events],
        isUsedUp: (lane, taken) => taken >= of(lane),
      }
    })
  }

  spend(lane: Lane, events: number, bytes: number): void {
    this.#taken[lane] += events
    this.#bytes += bytes
    this.#isEmpty = false
  }

  /** Takes no more of a lane, because its next entry does not fit. */
  closeLane(lane: Lane): void {
    this.#taken[lane] = Math.max(this.#taken[lane], this.#maxEvents[lane])
  }

  #left(lane: Lane): number {
    return this.#maxEvents[lane] - this.#taken[lane]
  }
}
