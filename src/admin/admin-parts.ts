import type { EventLog } from '../event-log/event-log.ts'
import type { GroupName } from '../pipeline/administration.ts'
import type { EventStore } from '../store/event-store.ts'

/** What everything here works on. */
export interface AdminParts {
  readonly eventLog: EventLog
  readonly store: EventStore
  /** Those that the server declares at each start. */
  readonly ownGroups: readonly GroupName[]
  /** The wall clock, in milliseconds since 1970. */
  readonly now: () => number
  /** A clock that only goes forward, in milliseconds. */
  readonly monotonicNow: () => number
}
