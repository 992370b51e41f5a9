// At most so many events of a key at work at once, in any order. The others wait in hand.

import { EventReader, textOf } from '../event/record-batch.ts'
import type { OpenDelivery } from './open-delivery.ts'

interface LimitedWork {
  readonly open: OpenDelivery
  readonly index: number
}

interface KeyState<Work> {
  atWork: number
  readonly waiting: Work[]
}

export class KeyLimit<Work extends LimitedWork> {
  readonly #limit: number
  readonly #keys = new Map<string, KeyState<Work>>()
  /** The keys of the events at work that have one. */
  readonly #keyOf = new Map<Work, string>()
  readonly #reader = new EventReader()
  #waiting = 0

  constructor(limit: number) {
    this.#limit = limit
  }

  /** How many events wait. */
  get waiting(): number {
    return this.#waiting
  }

  /** Whether an event may begin now. If not, it waits. */
  admit(work: Work): boolean {
    const { bytes } = work.open.pending.get(work.index)!
    const reader = this.#reader.reset(bytes)
    reader.next()
    const { keyStart, keyEnd } = reader.fields
    if (keyEnd === keyStart) return true
    const key = textOf(bytes, keyStart, keyEnd)
    const state = this.#keys.get(key) ?? { atWork: 0, waiting: [] }
    this.#keys.set(key, state)
    this.#keyOf.set(work, key)
    if (state.atWork < this.#limit) {
      state.atWork++
      return true
    }
    state.waiting.push(work)
    this.#waiting++
    return false
  }

  /** Events are at work no longer. Returns those that may begin now. */
  ended(works: readonly Work[]): Work[] {
    return works.flatMap((work) => {
      const key = this.#keyOf.get(work)
      this.#keyOf.delete(work)
      const state = key === undefined ? undefined : this.#keys.get(key)
      const next = state?.waiting.shift()
      if (next !== undefined) {
        this.#waiting--
        return [next]
      }
      if (state !== undefined && --state.atWork === 0) this.#keys.delete(key!)
      return []
    })
  }

  /** Takes out what waits. */
  takeBack(): Work[] {
    const all = [...this.#keys.values()].flatMap(({ waiting }) => waiting.splice(0))
    for (const work of all) this.#keyOf.delete(work)
    this.#waiting = 0
    return all
  }
}
