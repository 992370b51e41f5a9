import type { EventLog } from '../event-log/event-log.ts'
import type { Slots } from '../lib/slots.ts'
import type { GroupName } from '../pipeline/administration.ts'
import type { EventStore } from '../store/event-store.ts'
import type { DeliveryTimes } from '../workers/delivery-times.ts'

/** A group of a handler. */
export interface HandlerGroup {
  readonly group: string
  /** The types that this process's handler takes, empty for all; null when this process has no handler of the group. */
  readonly types: readonly string[] | null
}

/** The dependencies of everything in admin/. */
export interface AdminParts {
  readonly eventLog: EventLog
  readonly store: EventStore
  /** Limits how many events and pages are read for callers at once. */
  readonly reads: Slots
  /** The groups that the server declares at each start. */
  readonly ownGroups: readonly GroupName[]
  /** The handlers' groups of a topic. Errors: those of EventLog.describe. */
  readonly handlerGroups: (topic: string) => Promise<readonly HandlerGroup[]>
  readonly deliveryTimes: DeliveryTimes
  /** The wall clock, in milliseconds since 1970. */
  readonly now: () => number
  /** A monotonic clock, in milliseconds. */
  readonly monotonicNow: () => number
}
