// The main thread's state of a consumer group: for each partition its ledger and its cursors.

import { type Lane, lanes } from '../../event/event.ts'
import type { DueCursor, UnreadCursor } from './cursor.ts'
import type { GroupRow, LedgerRow } from './log-rows.ts'

/** What one transaction changes in a ledger. */
export interface LedgerChange {
  reopened: number
  landed: number
  dead: number
  lost: number
  waitingEvents: number
  waitingBytes: number
}

/** The ledger of a group in one partition, as of the last commit. */
export class Ledger {
  #row: LedgerRow

  constructor(row: LedgerRow) {
    this.#row = row
  }

  get waitingEvents(): number {
    return this.#row.waitingEvents
  }

  get waitingBytes(): number {
    return this.#row.waitingBytes
  }

  /** The row with these changes applied. */
  rowWith({ reopened, landed, dead, lost, waitingEvents, waitingBytes }: LedgerChange): LedgerRow {
    const row = this.#row
    const events = row.waitingEvents + waitingEvents
    return {
      ...row,
      reopened: row.reopened + reopened,
      landed: row.landed + landed,
      dead: row.dead + dead,
      lost: row.lost + lost,
      waitingEvents: events,
      // The size of a missing entry is unknown, so the count of bytes may drift: it is reset when nothing waits.
      waitingBytes: events === 0 ? 0 : row.waitingBytes + waitingBytes,
    }
  }

  committed(row: LedgerRow): void {
    this.#row = row
  }
}

/** A group's state in one partition. */
export interface GroupPartition {
  readonly group: GroupState
  readonly partition: number
  readonly ledger: Ledger
  /** The cursors in the streams of the topic. */
  readonly unread: Readonly<Record<Lane, UnreadCursor>>
  /** The cursors in the group's own streams. */
  readonly own: Readonly<Record<Lane, DueCursor>>
}

export class GroupState {
  readonly number: number
  readonly name: string
  readonly topic: string
  readonly topicNumber: number
  readonly partitions: GroupPartition[] = []
  /** The reason why the group is paused, '' when none was given; null when it is not paused. */
  paused: string | null = null
  /** True when the group was dropped: nothing more is to be written for it. */
  isDropped = false
  /** Events settled since the log was opened. */
  settledEvents = 0
  /** Events leased to consumers. */
  inFlightEvents = 0
  /** The partition to check first. It changes with each hand-out, so that no partition is always last. */
  firstPartition = 0

  constructor(topic: string, row: GroupRow) {
    this.topic = topic
    this.number = row.groupNumber
    this.name = row.name
    this.topicNumber = row.topicNumber
  }
}

/** Creates one value per lane. */
export function forEachLane<T>(make: (lane: Lane) => T): Record<Lane, T> {
  const [high, normal, low] = lanes
  return { high: make(high), normal: make(normal), low: make(low) }
}
