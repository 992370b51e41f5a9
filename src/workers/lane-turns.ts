// Shares free places among the lanes by weight, so that high goes first and low still moves under a flood of high.

import { type Lane, lanes } from '../event/event.ts'

/** High gets 16 of 21 places, normal 4 and low 1. */
export const laneWeights: Readonly<Record<Lane, number>> = { high: 16, normal: 4, low: 1 }

/** Smooth weighted round robin among the lanes that have work: a lane's turns are spread evenly. */
export class LaneTurns {
  readonly #credit: Record<Lane, number> = { high: 0, normal: 0, low: 0 }
  readonly #weights: Readonly<Record<Lane, number>>
  /** The lanes that had nothing when they were asked last. */
  readonly #idle = new Set<Lane>()

  constructor(weights: Readonly<Record<Lane, number>> = laneWeights) {
    this.#weights = weights
  }

  /**
   * How many of these places each lane gets. An idle lane is asked for one event, so that its first event need not wait,
   * unless that leaves nothing for the others.
   */
  share(places: number): Record<Lane, number> {
    const shares: Record<Lane, number> = { high: 0, normal: 0, low: 0 }
    const looks = lanes.filter((lane) => this.#idle.has(lane))
    const isLooking = looks.length < lanes.length && looks.length < places
    if (isLooking) for (const lane of looks) shares[lane] = 1
    const busy: readonly Lane[] = isLooking ? lanes.filter((lane) => !this.#idle.has(lane)) : lanes
    const left = isLooking ? places - looks.length : places
    const round = busy.reduce((sum, lane) => sum + this.#weights[lane], 0)
    for (const lane of busy) shares[lane] += Math.floor(left / round) * this.#weights[lane]
    for (let place = 0; place < left % round; place++) shares[this.#next(busy)]++
    return shares
  }

  /** Notes which of the lanes that were asked had work. */
  note(asked: Readonly<Record<Lane, number>>, hadWork: ReadonlySet<Lane>): void {
    for (const lane of lanes) {
      if (hadWork.has(lane)) this.#idle.delete(lane)
      else if (asked[lane] > 0) this.#idle.add(lane)
    }
  }

  #next(busy: readonly Lane[]): Lane {
    let [best, sum] = [busy[0]!, 0]
    for (const lane of busy) {
      this.#credit[lane] += this.#weights[lane]
      sum += this.#weights[lane]
      if (this.#credit[lane] > this.#credit[best]) best = lane
    }
    this.#credit[best] -= sum
    return best
  }
}
