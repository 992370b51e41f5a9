// Shares free places among the lanes by weight, so that high goes first and low still moves under a flood of high.

import { type Lane, lanes } from '../event/event.ts'

/** Of 21 places high gets 16, normal 4 and low 1. */
export const laneWeights: Readonly<Record<Lane, number>> = { high: 16, normal: 4, low: 1 }

/** Smooth weighted round robin: a lane's turns are spread evenly. */
export class LaneTurns {
  readonly #credit: Record<Lane, number> = { high: 0, normal: 0, low: 0 }
  readonly #weights: Readonly<Record<Lane, number>>
  readonly #sum: number

  constructor(weights: Readonly<Record<Lane, number>> = laneWeights) {
    this.#weights = weights
    this.#sum = lanes.reduce((sum, lane) => sum + weights[lane], 0)
  }

  /** How many of these places each lane gets. */
  share(places: number): Record<Lane, number> {
    const shares: Record<Lane, number> = { high: 0, normal: 0, low: 0 }
    for (let place = 0; place < places; place++) shares[this.#next()]++
    return shares
  }

  #next(): Lane {
    let best: Lane = 'high'
    for (const lane of lanes) {
      this.#credit[lane] += this.#weights[lane]
      if (this.#credit[lane] > this.#credit[best]) best = lane
    }
    this.#credit[best] -= this.#sum
    return best
  }
}
