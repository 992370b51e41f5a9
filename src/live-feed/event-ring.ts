// The waiting room of one subscriber: bounded by events and by bytes.
//
// Job: decide what a slow subscriber loses, and count it exactly.
// Not its job: what is sent, and when (subscriber.ts).
//
// It stands before the write on purpose: what has been handed to a connection can no longer be dropped. It holds references
// only; an event that waits for many subscribers is in memory once.

import type { GapReason } from '../pipeline/live.ts'
import type { BufferedEvent } from './live-event.ts'

/** Events that the log itself does not have any more, between those before it and after it. `from` and `to` are cursors. */
export interface LogGap {
  /** How many that the subscriber wants; null when it is not known. */
  readonly dropped: number | null
  readonly reason: GapReason
  readonly from: string
  readonly to: string
}

/** What was dropped since it was last asked for. */
export interface Dropped {
  readonly events: number | null
  /** The cursor behind the last one. */
  readonly to: string
  /** Whether events that were before it still wait. */
  readonly isBetween: boolean
}

export interface RingOptions {
  readonly maxEvents: number
  /** A single event may have more. */
  readonly maxBytes: number
  /** Whether events that are not the latest one of their key are dropped first. */
  readonly keepsLatest: boolean
}

type Waiting = BufferedEvent | LogGap

/** Slots are added in chunks: a thousand slow subscribers need more at the same event, and to copy all takes seconds. */
const chunkSlots = 256
const minHolesToClose = 64

export class EventRing {
  readonly #options: RingOptions
  /** What has a number is in the slot of that number, counted from that of the first slot. Null: dropped, or taken. */
  #chunks: (Waiting | null)[][] = []
  #firstSlot = 0
  /** The number of the oldest, and of the one that comes next. */
  #oldest = 0
  #next = 0
  #events = 0
  #bytes = 0
  #droppedEvents: number | null = 0
  #lastDropped: Waiting | null = null
  #hasHoles = false
  #holes = 0
  readonly #latest: LatestOfKeys | null

  constructor(options: RingOptions) {
    this.#options = options
    this.#latest = options.keepsLatest ? new LatestOfKeys() : null
  }

  get events(): number {
    return this.#events
  }

  get bytes(): number {
    return this.#bytes
  }

  /** How many were dropped since `takeDropped`. */
  get droppedEvents(): number | null {
    return this.#droppedEvents
  }

  /** Whether events have been dropped from among those that wait. */
  get hasHoles(): boolean {
    return this.#hasHoles
  }

  /** Whether something must be dropped for the event. */
  isFullFor(event: BufferedEvent): boolean {
    const { maxEvents, maxBytes } = this.#options
    return this.#events > 0 && (this.#events >= maxEvents || this.#bytes + event.bytes.length > maxBytes)
  }

  push(event: BufferedEvent): void {
    while (this.isFullFor(event)) this.#dropOne()
    const number = this.#append(event)
    this.#latest?.add(event.key, number)
    this.#events++
    this.#bytes += event.bytes.length
  }

  pushGap(gap: LogGap): void {
    this.#append(gap)
  }

  /** Null when nothing was dropped. It comes before what waits. */
  takeDropped(): Dropped | null {
    const last = this.#lastDropped
    if (last === null) return null
    const dropped = {
      events: this.#droppedEvents,
      to: isEvent(last) ? last.cursor : last.to,
      isBetween: this.#hasHoles,
    }
    this.#droppedEvents = 0
    this.#lastDropped = null
    return dropped
  }

  /** Whether neither an event nor a gap waits. */
  get isEmpty(): boolean {
    return this.#peek() === null
  }

  /** The oldest event that waits, if an event is what comes next. */
  first(): BufferedEvent | null {
    const first = this.#peek()
    return first !== null && isEvent(first) ? first : null
  }

  /** Takes what comes next: a gap, or events of `maxBytes` together, at least one. Null when nothing waits. */
  take(maxBytes: number): LogGap | BufferedEvent[] | null {
    const first = this.#shift()
    if (first === null || !isEvent(first)) return first
    const events = [first]
    let bytes = first.bytes.length
    for (;;) {
      const next = this.#peek()
      if (next === null || !isEvent(next) || bytes + next.bytes.length > maxBytes) return events
      bytes += next.bytes.length
      events.push(next)
      this.#shift()
    }
  }

  clear(): void {
    this.#forgetSlots()
    this.#events = 0
    this.#bytes = 0
    this.#hasHoles = false
    this.#latest?.clear()
  }

  #dropOne(): void {
    const oldest = this.#takeSuperseded() ?? this.#shift()!
    this.#countDropped(oldest, isEvent(oldest) ? 1 : oldest.dropped)
  }

  #takeSuperseded(): BufferedEvent | null {
    if (this.#latest === null) return null
    for (let number = this.#latest.takeSuperseded(); number !== null; number = this.#latest.takeSuperseded()) {
      // Otherwise it was taken meanwhile.
      const event = number < this.#oldest ? null : (this.#at(number) as BufferedEvent | null)
      if (event === null) continue
      this.#empty(number)
      this.#countOut(event, number)
      this.#hasHoles = true
      this.#holes++
      return event
    }
    return null
  }

  #countDropped(dropped: Waiting, events: number | null): void {
    // An event that was superseded may have been behind it.
    if (this.#lastDropped === null || !isBefore(dropped, this.#lastDropped)) this.#lastDropped = dropped
    this.#droppedEvents = this.#droppedEvents === null || events === null ? null : this.#droppedEvents + events
  }

  /** Returns its number. */
  #append(waiting: Waiting): number {
    if (this.#latest !== null) this.#closeHolesIfMany(this.#latest)
    const chunk = this.#chunks.at(-1)
    if (chunk === undefined || chunk.length === chunkSlots) this.#chunks.push([waiting])
    else chunk.push(waiting)
    return this.#next++
  }

  /** So that neither the slots nor what is remembered of keys are many times the events that wait. */
  #closeHolesIfMany(latest: LatestOfKeys): void {
    const most = Math.max(minHolesToClose, (this.#next - this.#oldest) / 2)
    if (this.#holes <= most && latest.superseded <= 4 * most) return
    const waiting = this.#chunks.flat().filter((each) => each !== null)
    latest.clear()
    this.#forgetSlots()
    for (const each of waiting) {
      const number = this.#append(each)
      if (isEvent(each)) latest.add(each.key, number)
    }
  }

  #forgetSlots(): void {
    this.#chunks = []
    this.#holes = 0
    this.#firstSlot = this.#oldest = this.#next
  }

  #at(number: number): Waiting | null {
    const slot = number - this.#firstSlot
    return this.#chunks[Math.floor(slot / chunkSlots)]![slot % chunkSlots]!
  }

  #empty(number: number): void {
    const slot = number - this.#firstSlot
    this.#chunks[Math.floor(slot / chunkSlots)]![slot % chunkSlots] = null
  }

  #peek(): Waiting | null {
    for (; this.#oldest < this.#next; this.#holes--, this.#leaveOldest()) {
      const waiting = this.#at(this.#oldest)
      if (waiting !== null) return waiting
    }
    this.#hasHoles = false
    if (this.#chunks.length > 0) this.#forgetSlots()
    return null
  }

  #shift(): Waiting | null {
    const waiting = this.#peek()
    if (waiting === null) return null
    this.#empty(this.#oldest)
    if (isEvent(waiting)) this.#countOut(waiting, this.#oldest)
    this.#leaveOldest()
    return waiting
  }

  #leaveOldest(): void {
    this.#oldest++
    if (this.#oldest - this.#firstSlot < chunkSlots) return
    this.#chunks.shift()
    this.#firstSlot += chunkSlots
  }

  #countOut(event: BufferedEvent, number: number): void {
    this.#events--
    this.#bytes -= event.bytes.length
    this.#latest?.remove(event.key, number)
  }
}

/** Which events have a later one of their key. An event without a key has none. */
class LatestOfKeys {
  readonly #latest = new Map<string, number>()
  /** In the order of the events that superseded them. Some have been taken since. */
  #superseded: number[] = []
  #first = 0

  get superseded(): number {
    return this.#superseded.length
  }

  add(key: string, number: number): void {
    if (key === '') return
    const earlier = this.#latest.get(key)
    if (earlier !== undefined) this.#superseded.push(earlier)
    this.#latest.set(key, number)
  }

  remove(key: string, number: number): void {
    if (this.#latest.get(key) === number) this.#latest.delete(key)
  }

  takeSuperseded(): number | null {
    return this.#superseded[this.#first++] ?? this.#forgetSuperseded()
  }

  clear(): void {
    this.#latest.clear()
    this.#forgetSuperseded()
  }

  #forgetSuperseded(): null {
    this.#superseded = []
    this.#first = 0
    return null
  }
}

function isBefore(one: Waiting, other: Waiting): boolean {
  if (!isEvent(one) || !isEvent(other) || one.place.epoch !== other.place.epoch) return false
  return one.offsetsBefore < other.offsetsBefore
}

function isEvent(waiting: Waiting): waiting is BufferedEvent {
  return 'bytes' in waiting
}
