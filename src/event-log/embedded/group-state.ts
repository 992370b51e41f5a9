// A consumer group as the main thread knows it: for each partition its ledger and its cursors.

import { type Lane, lanes } from '../../event/event.ts'
import type { DueCursor, UnreadCursor } from './cursor.ts'
import type { GroupRow, LedgerRow } from './log-rows.ts'

/** What one group of the group commit changes in a ledger. */
export interface LedgerChange {
  reopened: number
  landed: number
  dead: number
  lost: number
  waitingEvents: number
  waitingBytes: number
}

/** The ledger of a group in one partition. Its numbers are those of the last commit. */
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

  /** The row as it will be with these changes. */
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
      // How many bytes a missing entry had is not known: where nothing waits, the count begins anew.
      waitingBytes: events === 0 ? 0 : row.waitingBytes + waitingBytes,
    }
  }

  committed(row: LedgerRow): void {
    this.#row = row
  }
}

/** A group's part in one partition. */
export interface GroupPartition {
  readonly group: GroupState
  readonly partition: number
  readonly ledger: Ledger
  /** In the streams of the topic. */
  readonly unread: Readonly<Record<Lane, UnreadCursor>>
  /** In the group's own streams. */
  readonly own: Readonly<Record<Lane, DueCursor>>
}

export class GroupState {
  readonly number: number
  readonly name: string
  readonly topic: string
  readonly topicNumber: number
  readonly partitions: GroupPartition[] = []
  /** Why nothing is handed out, '' when nobody said; null while it is. */
  paused: string | null = null
  /** Nothing of it is to be written any more. */
  isDropped = false
  /** Events settled since the log was opened. */
  settledEvents = 0
  /** Events in consumers' hands. */
  inFlightEvents = 0
  /** The partition to look at first: another one each time, so that none is always last. */
  firstPartition = 0

  constructor(topic: string, row: GroupRow) {
    this.topic = topic
    this.number = row.groupNumber
    this.name = row.name
    this.topicNumber = row.topicNumber
  }
}

/** Something for each lane. */
export function forEachLane<T>(make: (lane: Lane) => T): Record<Lane, T> {
  const [high, normal, low] = lanes
  return { high: make(high), normal: make(normal), low: make(low) }
}
