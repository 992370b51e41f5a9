import type { EventLog } from '../event-log/event-log.ts'
import type { Slots } from '../lib/slots.ts'
import type { GroupName } from '../pipeline/administration.ts'
import type { EventStore } from '../store/event-store.ts'

/** The dependencies of everything in admin/. */
export interface AdminParts {
  readonly eventLog: EventLog
  readonly store: EventStore
  /** Limits how many events and pages are read for callers at once. */
  readonly reads: Slots
  /** The groups that the server declares at each start. */
  readonly ownGroups: readonly GroupName[]
  /** The wall clock, in milliseconds since 1970. */
  readonly now: () => number
  /** A monotonic clock, in milliseconds. */
  readonly monotonicNow: () => number
}
