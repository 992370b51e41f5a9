// The live subscribers that have the same filter.

import type { OnSlow } from '../pipeline/live.ts'
import type { Backlog, BacklogBounds, LogGap } from './backlog.ts'
import { EventList } from './event-list.ts'
import { LatestRing } from './latest-ring.ts'
import type { BufferedEvent } from './live-event.ts'
import type { LiveFilter } from './live-filter.ts'

/** A live subscriber, for the feed. */
export interface Receiver {
  readonly filter: LiveFilter
  readonly onSlow: OnSlow
  readonly bounds: BacklogBounds
  /** Something has come. Once for each page. */
  wake(): void
}

export class Audience {
  readonly filter: LiveFilter
  readonly #list: EventList
  readonly #rings = new Set<LatestRing>()
  readonly #backlogs = new Map<Receiver, Backlog>()

  /** @param maxBytes of the events that wait for all of them. */
  constructor(filter: LiveFilter, maxBytes: number) {
    this.filter = filter
    this.#list = new EventList(maxBytes)
  }

  get isEmpty(): boolean {
    return this.#backlogs.size === 0
  }

  /** How many places an event is put into. */
  get places(): number {
    return 1 + this.#rings.size
  }

  /** What comes for the receiver from now on. */
  join(receiver: Receiver): Backlog {
    const { onSlow, bounds } = receiver
    const backlog =
      onSlow === 'latest_per_key'
        ? new LatestRing(bounds, (first, last) => this.#list.frameKey(first, last))
        : this.#list.join(bounds.maxEvents)
    if (backlog instanceof LatestRing) this.#rings.add(backlog)
    this.#backlogs.set(receiver, backlog)
    return backlog
  }

  /** Idempotent. */
  leave(receiver: Receiver): void {
    const backlog = this.#backlogs.get(receiver)
    this.#backlogs.delete(receiver)
    if (backlog instanceof LatestRing) this.#rings.delete(backlog)
    backlog?.close()
  }

  push(event: BufferedEvent): void {
    this.#list.push(event)
    for (const ring of this.#rings) ring.push(event)
  }

  pushGap(gap: LogGap): void {
    this.#list.pushGap(gap)
    for (const ring of this.#rings) ring.pushGap(gap)
  }

  wake(): void {
    for (const receiver of this.#backlogs.keys()) receiver.wake()
  }
}
