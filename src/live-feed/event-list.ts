// The events of one filter that somebody has still to read: one list for all readers, and a position for each.
//
// What a slow reader has lost follows from its position, so one that does not read costs nothing when an event comes. Memory:
// what the largest bound of the readers takes, and nothing when all have read everything. The list holds references only, so
// an event that several filters match is in memory once.

import type { Backlog, LogGap, Taken } from './backlog.ts'
import type { BufferedEvent } from './live-event.ts'

/** Only a log that is damaged in many places has more than a few. */
const maxGaps = 32
/** How many events come until those are dropped that no reader needs. */
const eventsOfSweep = 256
const minSlotsToMove = 1024

interface PlacedGap {
  /** The number of the event that comes after it. */
  readonly at: number
  readonly gap: LogGap
}

export class EventList {
  /** The numbers of the first event that is held, and of the one that comes next. */
  first = 0
  end = 0
  /** The number of the first gap that is held. */
  firstGap = 0
  readonly #maxBytes: number
  readonly #readers = new Set<ListReader>()
  /** How many readers have read all. */
  #done = 0
  /** From the event with the number `#base` on. Null: not held any more. */
  #slots: (BufferedEvent | null)[] = []
  /** For each slot, the bytes of all events before it. */
  #bytesBefore: number[] = []
  #base = 0
  #bytes = 0
  #nextSweep = eventsOfSweep
  /** The event before the first one that is held. */
  #lastDropped: BufferedEvent | null = null
  #gaps: PlacedGap[] = []
  /** The gap before the first one that is held. */
  #lastDroppedGap: PlacedGap | null = null
  readonly #frames = new WeakMap<BufferedEvent, { readonly last: BufferedEvent; readonly key: object }>()

  /** @param maxBytes of the events that wait for a reader; a single one may have more. */
  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes
  }

  get endOfGaps(): number {
    return this.firstGap + this.#gaps.length
  }

  /** How many events are held. */
  get size(): number {
    return this.end - this.first
  }

  /** The reader gets what comes from now on. */
  join(maxEvents: number): ListReader {
    const reader = new ListReader(this, maxEvents)
    this.#readers.add(reader)
    this.#done++
    return reader
  }

  leave(reader: ListReader): void {
    if (!this.#readers.delete(reader)) return
    if (reader.isEmpty) this.#done--
    this.#clearIfDone()
  }

  push(event: BufferedEvent): void {
    if (this.#readers.size === 0) return
    this.#done = 0
    this.#slots.push(event)
    this.#bytesBefore.push(this.#bytes)
    this.#bytes += event.bytes.length
    this.end++
    while (this.size > 1 && this.bytesFrom(this.first) > this.#maxBytes) this.#dropFirst()
    if (this.end >= this.#nextSweep) this.#sweep()
  }

  pushGap(gap: LogGap): void {
    if (this.#readers.size === 0) return
    this.#done = 0
    this.#gaps.push({ at: this.end, gap })
    if (this.#gaps.length <= maxGaps) return
    this.#lastDroppedGap = this.#gaps.shift()!
    this.firstGap++
  }

  /** An event that is held, or the one before. */
  at(number: number): BufferedEvent {
    return number < this.first ? this.#lastDropped! : this.#slots[number - this.#base]!
  }

  /** The bytes of the events from this number on. */
  bytesFrom(number: number): number {
    return number === this.end ? 0 : this.#bytes - this.#bytesBefore[number - this.#base]!
  }

  /** Null when it has not come. One that is not held any more: the last of these. */
  gapAt(number: number): PlacedGap | null {
    return number < this.firstGap ? this.#lastDroppedGap : (this.#gaps[number - this.firstGap] ?? null)
  }

  /** The same object for all frames of the filter from this event to that one. */
  frameKey(first: BufferedEvent, last: BufferedEvent): object {
    const known = this.#frames.get(first)
    if (known?.last === last) return known.key
    const key = {}
    this.#frames.set(first, { last, key })
    return key
  }

  /** To be called by a reader that has read all. */
  markDone(): void {
    this.#done++
    this.#clearIfDone()
  }

  #sweep(): void {
    this.#nextSweep = this.end + eventsOfSweep
    let needed = this.end
    for (const { start } of this.#readers) if (start < needed) needed = start
    while (this.first < needed) this.#dropFirst()
  }

  #dropFirst(): void {
    const slot = this.first++ - this.#base
    this.#lastDropped = this.#slots[slot]!
    this.#slots[slot] = null
    if (slot < minSlotsToMove || slot < this.#slots.length / 2) return
    this.#slots = this.#slots.slice(slot + 1)
    this.#bytesBefore = this.#bytesBefore.slice(slot + 1)
    this.#base = this.first
  }

  #clearIfDone(): void {
    if (this.#done < this.#readers.size) return
    this.firstGap = this.endOfGaps
    this.#gaps = []
    this.#slots = []
    this.#bytesBefore = []
    this.#lastDropped = this.#lastDroppedGap = null
    this.#base = this.first = this.end
  }
}

/** Loses its oldest events when more wait than `maxEvents`, or than the bytes of the list. */
export class ListReader implements Backlog {
  readonly #list: EventList
  readonly #maxEvents: number
  /** The numbers of the event and of the gap that come next. */
  #next: number
  #nextGap: number

  constructor(list: EventList, maxEvents: number) {
    this.#list = list
    this.#maxEvents = maxEvents
    this.#next = list.end
    this.#nextGap = list.endOfGaps
  }

  /** The number of the first event that it has not lost. */
  get start(): number {
    const { first, end } = this.#list
    return Math.max(this.#next, first, end - this.#maxEvents)
  }

  get events(): number {
    return this.#list.end - this.start
  }

  get bytes(): number {
    return this.#list.bytesFrom(this.start)
  }

  get droppedEvents(): number {
    return this.start - this.#next
  }

  get isEmpty(): boolean {
    return this.#next === this.#list.end && this.#nextGap === this.#list.endOfGaps
  }

  first(): BufferedEvent | null {
    return this.events === 0 ? null : this.#list.at(this.start)
  }

  take(maxBytes: number): Taken | null {
    if (this.isEmpty) return null
    const taken = this.#takeNext(maxBytes)
    if (this.isEmpty) this.#list.markDone()
    return taken
  }

  close(): void {
    this.#list.leave(this)
  }

  #takeNext(maxBytes: number): Taken {
    const list = this.#list
    const placed = list.gapAt(this.#nextGap)
    if (placed !== null && this.#nextGap < list.firstGap) {
      this.#nextGap = list.firstGap
      this.#next = placed.at
      return { dropped: null, to: placed.gap.to, isBetween: false }
    }
    const end = placed?.at ?? list.end
    const start = Math.min(this.start, end)
    const dropped = start - this.#next
    this.#next = start
    if (dropped > 0) {
      const to = start === placed?.at ? placed.gap.from : list.at(start - 1).cursor
      return { dropped, to, isBetween: false }
    }
    if (start === placed?.at) {
      this.#nextGap++
      return placed.gap
    }
    const events = [list.at(start)]
    for (let bytes = events[0]!.bytes.length; start + events.length < end; ) {
      const event = list.at(start + events.length)
      bytes += event.bytes.length
      if (bytes > maxBytes) break
      events.push(event)
    }
    this.#next += events.length
    return { events, sharedBy: list.frameKey(events[0]!, events.at(-1)!) }
  }
}
