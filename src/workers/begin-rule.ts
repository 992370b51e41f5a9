// When an event in hand may begin, beside a free place: the rule of its group for the events of a key. KeyOrder has one of
// them at work at once, in order; KeyLimit at most so many; NoRule all of them.
//
// Not its job: the limits of the group in all processes, which hold for calls (group-permits.ts).

import type { Consumer, Delivery } from '../event-log/event-log.ts'
import type { OpenDelivery } from './open-delivery.ts'

/** An event in hand. */
export interface EventInHand {
  readonly open: OpenDelivery
  readonly index: number
}

/** An event that is to be worked on. */
export interface Work extends EventInHand {
  /** Called when its attempt has ended, though the handler may still run, and when it is returned without one. */
  readonly onEnded: () => void
}

/** What goes on that has waited for others of its keys. */
export interface Waiters {
  readonly begin: (work: Work) => void
  readonly settle: (open: OpenDelivery) => void
}

export interface BeginRule {
  /** How many events in hand wait for others, or make others wait. They need a bound. */
  readonly events: number
  /** Whether an entry stays whole when it has more events than places are free. */
  readonly keepsEntries: boolean
  /** Whether a delivery may be taken in hand; if not, it is void. */
  knows(consumer: Consumer, delivery: Delivery): Promise<boolean>
  /** Takes a delivery in hand, before anything is done with its events. */
  enter(open: OpenDelivery): void
  /** Whether an event may begin now. If not it waits, or has been returned. */
  admit(work: Work): boolean
  /** An event is done or given up, at work or before. */
  ended(event: EventInHand): void
  /** Has an event redelivered, at work or before. @param redeliver is given the key that those behind it wait for. */
  redeliver(event: EventInHand, redeliver: (key?: string) => void): void
  /** Takes out what waits to begin. */
  takeBack(): Work[]
  maySettle(open: OpenDelivery): boolean
  /** A delivery is settled before those that come to be settled from now on. */
  settling(open: OpenDelivery): void
  /** The log has settled a delivery, or it is void. */
  settled(open: OpenDelivery): void
}

export class NoRule implements BeginRule {
  readonly keepsEntries = false

  get events(): number {
    return 0
  }

  async knows(): Promise<boolean> {
    return true
  }

  enter(): void {}

  admit(_: Work): boolean {
    return true
  }

  ended(_: EventInHand): void {}

  redeliver(_: EventInHand, redeliver: () => void): void {
    redeliver()
  }

  takeBack(): Work[] {
    return []
  }

  maySettle(): boolean {
    return true
  }

  settling(): void {}

  settled(): void {}
}
