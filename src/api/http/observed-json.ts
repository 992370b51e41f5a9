// An answer of a watch as JSON: of GET /v1/status/live and of `millrace monitor`. An unknown value is null, never 0.

import type { Observations, StoreObservation } from '../../pipeline/observations.ts'
import type { Observed } from '../../pipeline/pipeline.ts'
import { statusJson } from './status-json.ts'

export function observedJson({ status, observations }: Observed): { status: object; observations: object } {
  return { status: statusJson(status), observations: observationsJson(observations) }
}

function observationsJson({ atSeconds, published, landing, log, store }: Observations): object {
  return {
    at_seconds: atSeconds,
    published:
      published === null
        ? null
        : {
            received: published.received,
            accepted: published.accepted,
            rejected: published.rejected,
            dropped: published.dropped,
            accepted_by_lane: published.acceptedByLane,
          },
    landing:
      landing === null
        ? null
        : {
            rows: landing.rows,
            duplicates: landing.duplicates,
            conflicts: landing.conflicts,
            batches: landing.batches,
            seconds: landing.seconds,
            durations: landing.durations.map(({ upToSeconds, batches }) => ({ up_to_seconds: upToSeconds, batches })),
          },
    log: {
      used_bytes: log.usedBytes,
      limit_bytes: log.limitBytes,
      problem: log.problem,
      persistence: log.persistence,
    },
    store: store === null ? null : storeJson(store),
  }
}

function storeJson({ eventsBytes, deadLetters, recent, statements }: StoreObservation): object {
  return {
    events_bytes: eventsBytes,
    dead_letters: deadLetters,
    recent,
    statements:
      statements === null
        ? null
        : { calls: statements.calls, mean_seconds: statements.meanSeconds, rows: statements.rows },
  }
}
