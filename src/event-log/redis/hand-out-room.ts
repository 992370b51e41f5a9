// How much one call of `next` may hand out, over its partitions together, and what part of it one script may take.
//
// Entries are whole, and the first of a lane is handed out even when it has more than was asked for: that holds for the
// call, so it is for a script that has all that is left. Scripts that run side by side get shares that add up to no more
// than the room, and none of them may go beyond its own.

import { type Lane, lanes } from '../../event/event.ts'

/** One call of `next` hands out no more bytes than this, whatever it asks for, beyond the first entry. */
const maxHandOutBytes = 8 * 1024 * 1024

/** What one script may take. */
export interface Part {
  /** The lanes that have room. */
  readonly open: ReadonlySet<Lane>
  /** As take.lua wants them. */
  readonly limits: readonly number[]
  /** Whether a script that took so many events of a lane may have left some for want of room. */
  isUsedUp(lane: Lane, events: number): boolean
}

export class HandOutRoom {
  readonly #maxEvents: Readonly<Record<Lane, number>>
  readonly #taken: Record<Lane, number> = { high: 0, normal: 0, low: 0 }
  #bytes = 0
  #isEmpty = true

  constructor(maxEvents: Readonly<Record<Lane, number>>) {
    this.#maxEvents = maxEvents
  }

  get isOver(): boolean {
    return lanes.every((lane) => this.#left(lane) <= 0)
  }

  /** All that is left, for one script. */
  all(): Part {
    const events = lanes.flatMap((lane) => [this.#maxEvents[lane], this.#taken[lane]])
    return {
      open: new Set(lanes.filter((lane) => this.#left(lane) > 0)),
      limits: [Math.max(0, maxHandOutBytes - this.#bytes), this.#isEmpty ? 1 : 0, ...events],
      isUsedUp: () => false,
    }
  }

  /** One of so many equal parts, for scripts that run side by side. */
  share(parts: number): Part {
    const of = (lane: Lane) => Math.max(0, Math.floor(this.#left(lane) / parts))
    // One event counts as taken, so that the first entry has to fit too.
    const events = lanes.flatMap((lane) => (of(lane) === 0 ? [0, 0] : [of(lane) + 1, 1]))
    return {
      open: new Set(lanes.filter((lane) => of(lane) > 0)),
      limits: [Math.floor((maxHandOutBytes - this.#bytes) / parts), 0, ...events],
      isUsedUp: (lane, taken) => taken >= of(lane),
    }
  }

  took(lane: Lane, events: number, bytes: number): void {
    this.#taken[lane] += events
    this.#bytes += bytes
    this.#isEmpty = false
  }

  /** No more of a lane: its next entry does not fit. */
  close(lane: Lane): void {
    this.#taken[lane] = Math.max(this.#taken[lane], this.#maxEvents[lane])
  }

  #left(lane: Lane): number {
    return this.#maxEvents[lane] - this.#taken[lane]
  }
}
