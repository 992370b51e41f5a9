// At most so many events of a key at work at once, in any order. The others wait in hand.

import { EventReader, textOf } from '../event/record-batch.ts'
import { type EventInHand, NoRule, type Waiters, type Work } from './begin-rule.ts'

interface KeyState {
  atWork: number
  readonly waiting: Work[]
}

export class KeyLimit extends NoRule {
  readonly #limit: number
  readonly #waiters: Pick<Waiters, 'begin'>
  readonly #keys = new Map<string, KeyState>()
  /** The keys of the events that have one, at work or waiting. */
  readonly #keyOf = new Map<EventInHand, string>()
  readonly #reader = new EventReader()
  #waiting = 0

  constructor(limit: number, waiters: Pick<Waiters, 'begin'>) {
    super()
    this.#limit = limit
    this.#waiters = waiters
  }

  override get events(): number {
    return this.#waiting
  }

  override admit(work: Work): boolean {
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

  override ended(event: EventInHand): void {
    const key = this.#keyOf.get(event)
    if (key === undefined) return
    this.#keyOf.delete(event)
    const state = this.#keys.get(key)!
    const next = state.waiting.shift()
    if (next === undefined) {
      if (--state.atWork === 0) this.#keys.delete(key)
      return
    }
    this.#waiting--
    this.#waiters.begin(next)
  }

  override redeliver(event: EventInHand, redeliver: () => void): void {
    redeliver()
    this.ended(event)
  }

  override takeBack(): Work[] {
    const all = [...this.#keys.values()].flatMap(({ waiting }) => waiting.splice(0))
    for (const work of all) this.#keyOf.delete(work)
    this.#waiting = 0
    return all
  }
}
