// The order of events by key within a stream, for the handler of an ordered group: one event of a key is at work at once,
// the later ones of it wait in hand. When it must be tried again, they are returned to the log behind it, so that a key
// that fails holds nothing but itself.
//
// What the log has of a key is asked for when the first delivery of a stream comes in. From then on only this pool
// changes it, until the log says that another delivery is the first one (EventLog): what is in hand then is settled
// already, or has lost its lease.
//
// An entry is settled after those before it that share a key with it. So of a key the log never has a later event as
// settled, or as returned, while it has an earlier one as in hand.

import { EventReader, textOf } from '../event/record-batch.ts'
import { type Consumer, type Delivery, dueAtOnce, type HeldKey, type StreamName } from '../event-log/event-log.ts'
import type { BeginRule, EventInHand, Waiters, Work } from './begin-rule.ts'
import type { OpenDelivery } from './open-delivery.ts'

export interface KeyOrderOptions extends Waiters {
  /** What the log has of a stream (EventLog.heldKeys); null when its deliveries are void. */
  readonly heldKeys: (stream: StreamName) => Promise<readonly HeldKey[] | null>
}

interface KeyState {
  readonly key: string
  /** How many of its events are, or will be, in the group's own stream. */
  held: number
  atWork: Work | null
  readonly waiting: Work[]
  /** The last delivery with an event of it, until that is settled. */
  last: OpenDelivery | null
}

interface StreamState {
  readonly keys: Map<string, KeyState>
  /** The deliveries in hand. */
  deliveries: number
}

/** A delivery in hand. */
interface InHand {
  readonly stream: StreamState
  /** The state of each event's key; events without a key are not in it. */
  readonly states: Map<number, KeyState>
  /** Must be settled before it. */
  readonly waitsFor: Set<OpenDelivery>
  readonly followers: Set<OpenDelivery>
  /** It is settled before what comes to be settled from now on. */
  isSettling: boolean
}

export class KeyOrder implements BeginRule {
  readonly keepsEntries = true
  readonly #options: KeyOrderOptions
  /** By consumer, because what an earlier one has in hand is void. */
  readonly #streams = new WeakMap<Consumer, Map<string, StreamState>>()
  readonly #inHand = new Map<OpenDelivery, InHand>()
  #events = 0

  constructor(options: KeyOrderOptions) {
    this.#options = options
  }

  /** Events of the deliveries in hand. */
  get events(): number {
    return this.#events
  }

  async knows(consumer: Consumer, { position, isFirstLease }: Delivery): Promise<boolean> {
    const { stream } = position
    const streams = this.#streams.get(consumer) ?? new Map<string, StreamState>()
    if (!isFirstLease && streams.has(nameOf(stream))) return true
    const heldKeys = await this.#options.heldKeys(stream)
    if (heldKeys === null) return false
    const keys = heldKeys.map(({ key, events }) => [key, { ...stateOf(key), held: events }] as const)
    streams.set(nameOf(stream), { keys: new Map(keys), deliveries: 0 })
    this.#streams.set(consumer, streams)
    return true
  }

  enter(open: OpenDelivery): void {
    const { position, batch, isKeyed } = open.delivery
    const stream = this.#streams.get(open.consumer)!.get(nameOf(position.stream))!
    const none = { waitsFor: new Set<OpenDelivery>(), followers: new Set<OpenDelivery>() }
    const inHand: InHand = { stream, states: new Map(), ...none, isSettling: false }
    this.#inHand.set(open, inHand)
    stream.deliveries++
    this.#events += batch.count
    for (const [index, key] of keysIn(open)) {
      const state = stream.keys.get(key) ?? stateOf(key)
      stream.keys.set(key, state)
      inHand.states.set(index, state)
      if (!isKeyed) this.#follow(open, state)
    }
  }

  admit(work: Work): boolean {
    const { open, index } = work
    const state = this.#stateOf(open, index)
    if (state === undefined) return true
    if (state.held > 0 && !open.delivery.isKeyed) {
      this.#return(work, state)
      return false
    }
    if (state.atWork !== null) {
      state.waiting.push(work)
      return false
    }
    state.atWork = work
    return true
  }

  ended({ open, index }: EventInHand): void {
    const state = this.#stateOf(open, index)
    if (state === undefined) return
    if (open.delivery.isKeyed) {
      state.held--
      state.last ??= open
    }
    if (!isAtWork(state, open, index)) return
    state.atWork = state.waiting.shift() ?? null
    if (state.atWork !== null) this.#options.begin(state.atWork)
  }

  /** Those behind an event that was at work are returned. */
  redeliver({ open, index }: EventInHand, redeliver: (key?: string) => void): void {
    const state = this.#stateOf(open, index)
    redeliver(state?.key)
    if (state === undefined) return
    if (!open.delivery.isKeyed) state.held++
    if (!isAtWork(state, open, index)) return
    state.atWork = null
    const behind = state.waiting.splice(0)
    for (const work of behind) this.#return(work, state)
    for (const work of behind) this.#options.settle(work.open)
  }

  takeBack(): Work[] {
    return [...this.#inHand.values()].flatMap(({ states }) =>
      [...states.values()].flatMap((state) => state.waiting.splice(0)),
    )
  }

  maySettle(open: OpenDelivery): boolean {
    return this.#inHand.get(open)!.waitsFor.size === 0
  }

  settling(open: OpenDelivery): void {
    const inHand = this.#inHand.get(open)!
    inHand.isSettling = true
    for (const follower of inHand.followers) this.#inHand.get(follower)!.waitsFor.delete(open)
    for (const follower of inHand.followers) this.#options.settle(follower)
  }

  settled(open: OpenDelivery): void {
    const { stream, states } = this.#inHand.get(open)!
    const { position, batch } = open.delivery
    this.#inHand.delete(open)
    this.#events -= batch.count
    for (const state of states.values()) {
      if (state.last === open) state.last = null
      const isIdle = state.held <= 0 && state.atWork === null && state.last === null
      if (isIdle) stream.keys.delete(state.key)
    }
    const [streams, name] = [this.#streams.get(open.consumer)!, nameOf(position.stream)]
    if (--stream.deliveries === 0 && streams.get(name) === stream) streams.delete(name)
  }

  #stateOf(open: OpenDelivery, index: number): KeyState | undefined {
    return this.#inHand.get(open)!.states.get(index)
  }

  #follow(open: OpenDelivery, state: KeyState): void {
    const { last } = state
    state.last = open
    if (last === null || last === open) return
    const before = this.#inHand.get(last)!
    if (before.isSettling) return
    this.#inHand.get(open)!.waitsFor.add(last)
    before.followers.add(open)
  }

  #return({ open, index, onEnded }: Work, state: KeyState): void {
    if (!open.delivery.isKeyed) state.held++
    open.returnOne(index, dueAtOnce, state.key)
    onEnded()
  }
}

function stateOf(key: string): KeyState {
  return { key, held: 0, atWork: null, waiting: [], last: null }
}

function isAtWork({ atWork }: KeyState, open: OpenDelivery, index: number): boolean {
  return atWork?.open === open && atWork.index === index
}

function nameOf({ partition, lane }: StreamName): string {
  return `${partition}/${lane}`
}

/** The keys of the events that have not ended, by their index. */
function* keysIn({ delivery, pending }: OpenDelivery): Generator<readonly [number, string]> {
  const { bytes, damaged } = delivery.batch
  if (damaged === true) return
  const reader = new EventReader().reset(bytes)
  for (let index = 0; reader.next(); index++) {
    const { keyStart, keyEnd } = reader.fields
    if (pending.has(index) && keyEnd > keyStart) yield [index, textOf(bytes, keyStart, keyEnd)]
  }
}
