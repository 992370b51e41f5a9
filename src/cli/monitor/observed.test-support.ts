// Made-up observations of a server, for states that a real one rarely shows.

import { runningState } from '../../pipeline/group-state.ts'
import type { LogObservation, Observations, StoreObservation } from '../../pipeline/observations.ts'
import type { GroupStatus, LedgerRow, Observed, Status } from '../../pipeline/pipeline.ts'

export interface ObservedParts {
  readonly uptimeSeconds?: number
  readonly status?: Partial<Status>
  readonly group?: Partial<GroupStatus>
  readonly ledger?: Partial<LedgerRow>
  readonly observations?: Partial<Observations>
  readonly log?: Partial<LogObservation>
  readonly store?: Partial<StoreObservation>
}

/** An observation of a healthy server, changed by what is given. */
export function observedWith({
  uptimeSeconds = 10,
  status,
  group,
  ledger,
  observations,
  log,
  store,
}: ObservedParts = {}): Observed {
  const counted = { waiting: 0, ready: 0, scheduled: 0, held: 0, inFlight: 0, skipped: 0 }
  const shown = { oldestWaitingSeconds: null, state: runningState }
  const terms = { accepted: 0, reopened: 0, waiting: group?.waiting ?? 0, landed: 0, dead: 0, lost: 0, balanced: true }
  const byLane = { high: 0, normal: 0, low: 0 }
  const durations = [
    { upToSeconds: 0.01, batches: 0 },
    { upToSeconds: 0.1, batches: 0 },
    { upToSeconds: null, batches: 0 },
  ]
  return {
    status: {
      version: '1.2.3',
      uptimeSeconds,
      durability: 'disk',
      log: { driver: 'redis', epoch: 1 },
      store: { driver: 'postgres', up: true },
      state: 'ready',
      causes: [],
      topics: [
        { name: 'events', partitions: 1, groups: [{ name: 'landing', types: [], ...counted, ...shown, ...group }] },
      ],
      ledger: [{ topic: 'events', group: 'landing', ...terms, ...ledger }],
      processes: [],
      subscribers: null,
      workers: 1,
      ...status,
    },
    observations: {
      atSeconds: uptimeSeconds,
      published: { received: 0, accepted: 0, rejected: 0, dropped: 0, acceptedByLane: byLane },
      landing: { rows: 0, duplicates: 0, conflicts: 0, batches: 0, seconds: 0, durations },
      log: { usedBytes: 1000, limitBytes: 10_000, problem: null, persistence: 'aof-always', ...log },
      store: {
        eventsBytes: 1024 ** 3,
        deadLetters: { open: 0, redriven: 0, more: false },
        recent: { events: 0, types: [] },
        statements: null,
        ...store,
      },
      ...observations,
    },
  }
}
