// What waits for one subscriber that wants the latest event of each key: when it is full, events are dropped of which a later
// one of the same key waits, those first that were superseded first, then the oldest.
//
// Which these are depends on what the subscriber has taken, so it cannot share a list with others (event-list.ts).

import type { Backlog, BacklogBounds, LogGap, Taken } from './backlog.ts'
import type { BufferedEvent } from './live-event.ts'

type Item = BufferedEvent | LogGap
type FrameKey = (first: BufferedEvent, last: BufferedEvent) => object

interface Waiting {
  /** Null: taken, or dropped. */
  item: Item | null
}

export class LatestRing implements Backlog {
  readonly #bounds: BacklogBounds
  readonly #frameKey: FrameKey
  readonly #order = new Queue()
  readonly #superseded = new Queue()
  /** By key. An event without a key supersedes none. */
  readonly #latest = new Map<string, Waiting>()
  #items = 0
  #events = 0
  #bytes = 0
  #droppedEvents: number | null = 0
  #lastDropped: Item | null = null
  #hasHoles = false

  constructor(bounds: BacklogBounds, frameKey: FrameKey) {
    this.#bounds = bounds
    this.#frameKey = frameKey
  }

  get events(): number {
    return this.#events
  }

  get bytes(): number {
    return this.#bytes
  }

  get droppedEvents(): number | null {
    return this.#droppedEvents
  }

  get isEmpty(): boolean {
    return this.#items === 0 && this.#lastDropped === null
  }

  push(event: BufferedEvent): void {
    const { maxEvents, maxBytes } = this.#bounds
    while (this.#items >= maxEvents || (this.#events > 0 && this.#bytes + event.bytes.length > maxBytes)) this.#drop()
    const waiting = this.#append(event)
    this.#events++
    this.#bytes += event.bytes.length
    const { key } = event
    if (key === '') return
    const earlier = this.#latest.get(key)
    if (earlier !== undefined) this.#superseded.push(earlier)
    this.#latest.set(key, waiting)
  }

  pushGap(gap: LogGap): void {
    if (this.#items >= this.#bounds.maxEvents) this.#drop()
    this.#append(gap)
  }

  first(): BufferedEvent | null {
    const item = this.#order.first()?.item ?? null
    return item !== null && isEvent(item) ? item : null
  }

  take(maxBytes: number): Taken | null {
    if (this.#lastDropped !== null) return this.#takeDropped(this.#lastDropped)
    const hasHoles = this.#hasHoles
    const events: BufferedEvent[] = []
    let bytes = 0
    for (let next = this.#order.first(); next !== null; next = this.#order.first()) {
      const item = next.item!
      if (!isEvent(item)) {
        if (events.length > 0) break
        this.#remove(next)
        return item
      }
      bytes += item.bytes.length
      if (events.length > 0 && bytes > maxBytes) break
      events.push(item)
      this.#remove(next)
    }
    if (events.length === 0) return null
    return { events, sharedBy: hasHoles ? null : this.#frameKey(events[0]!, events.at(-1)!) }
  }

  close(): void {
    this.#order.clear()
    this.#superseded.clear()
    this.#latest.clear()
    this.#items = this.#events = this.#bytes = 0
  }

  #takeDropped(last: Item): Taken {
    const dropped = this.#droppedEvents
    this.#droppedEvents = 0
    this.#lastDropped = null
    return { dropped, to: isEvent(last) ? last.cursor : last.to, isBetween: this.#hasHoles }
  }

  #append(item: Item): Waiting {
    const waiting: Waiting = { item }
    this.#order.push(waiting)
    this.#items++
    return waiting
  }

  #drop(): void {
    const superseded = this.#superseded.first()
    const item = this.#remove(superseded ?? this.#order.first()!)
    if (superseded !== null && this.#items > 0) this.#hasHoles = true
    // An event that was superseded may have been behind it.
    if (this.#lastDropped === null || !isBefore(item, this.#lastDropped)) this.#lastDropped = item
    const events = isEvent(item) ? 1 : item.dropped
    this.#droppedEvents = this.#droppedEvents === null || events === null ? null : this.#droppedEvents + events
  }

  #remove(waiting: Waiting): Item {
    const item = waiting.item!
    waiting.item = null
    this.#items--
    if (this.#items === 0) this.#hasHoles = false
    if (!isEvent(item)) return item
    this.#events--
    this.#bytes -= item.bytes.length
    if (this.#latest.get(item.key) === waiting) this.#latest.delete(item.key)
    return item
  }
}

/** Leaves out those that are gone. */
class Queue {
  #queued: Waiting[] = []
  #next = 0
  #maxLength = 64

  push(waiting: Waiting): void {
    // So that it is not many times as long as what waits.
    if (this.#queued.length >= this.#maxLength) {
      this.#queued = this.#queued.slice(this.#next).filter(({ item }) => item !== null)
      this.#next = 0
      this.#maxLength = Math.max(64, 2 * this.#queued.length)
    }
    this.#queued.push(waiting)
  }

  first(): Waiting | null {
    while (this.#queued[this.#next]?.item === null) this.#next++
    return this.#queued[this.#next] ?? null
  }

  clear(): void {
    this.#queued = []
    this.#next = 0
  }
}

function isBefore(one: Item, other: Item): boolean {
  if (!isEvent(one) || !isEvent(other) || one.place.epoch !== other.place.epoch) return false
  return one.offsetsBefore < other.offsetsBefore
}

function isEvent(item: Item): item is BufferedEvent {
  return 'bytes' in item
}
