// The status for a key for some topics and types: of its topics alone.

import type { Grant } from '../pipeline/keys.ts'
import type { Observed, Status } from '../pipeline/pipeline.ts'
import type { StatusHistory } from '../pipeline/status-history.ts'
import { seesTopic } from './outside.ts'

export function restrictStatus(status: Status, grant: Grant): Status {
  return {
    ...status,
    // Their messages name topics.
    causes: status.causes.map(({ component, reason }) => ({ component, reason, message: reason })),
    topics: status.topics.filter(({ name }) => seesTopic(grant, name)),
    ledger: status.ledger.filter(({ topic }) => seesTopic(grant, topic)),
    ...{ subscribers: null, workers: null },
  }
}

/** The observations are totals of all topics: only what says nothing about them is left. */
export function restrictObserved({ status, observations: { atSeconds, log } }: Observed, grant: Grant): Observed {
  const ofLog = { ...log, usedBytes: null, limitBytes: null, problem: null }
  return {
    status: restrictStatus(status, grant),
    observations: { atSeconds, published: null, landing: null, log: ofLog, store: null },
  }
}

/** The series are of all topics: nothing is left but their seconds. */
export function restrictHistory({ seconds }: StatusHistory): StatusHistory {
  const none = seconds.map(() => null)
  return {
    ...{ seconds, accepted: none, rejected: none, landed: none, dead: none, waiting: none },
    ...{ landingP50Seconds: none, landingP99Seconds: none },
  }
}
