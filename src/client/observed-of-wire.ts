// Converts an answer of AdminService.WatchStatus to the pipeline's types. An absent field is unknown: null, never 0.

import { MillraceError } from '../errors.ts'
import { lanes } from '../event/event.ts'
import type {
  LandingTotals as LandingTotalsMessage,
  PublishedTotals as PublishedTotalsMessage,
  StoreObservation as StoreObservationMessage,
  WatchStatusResponse,
} from '../gen/millrace/v1/admin_pb.ts'
import type { LandingTotals, PublishedTotals, StoreObservation } from '../pipeline/observations.ts'
import type { Observed } from '../pipeline/pipeline.ts'
import { statusOfWire } from './status-of-wire.ts'

export function observedOfWire({ status, observations }: WatchStatusResponse): Observed {
  if (observations === undefined) throw new MillraceError('internal', 'the server answered without observations')
  const { atSeconds, published, landing, store } = observations
  return {
    status: statusOfWire({ status }),
    observations: {
      atSeconds,
      published: published === undefined ? null : publishedOfWire(published),
      landing: landing === undefined ? null : landingOfWire(landing),
      log: {
        usedBytes: numberOrNull(observations.logUsedBytes),
        limitBytes: numberOrNull(observations.logLimitBytes),
        problem: observations.logProblem ?? null,
        persistence: observations.logPersistence,
      },
      store: store === undefined ? null : storeOfWire(store),
    },
  }
}

function publishedOfWire(message: PublishedTotalsMessage): PublishedTotals {
  const { received, accepted, rejected, dropped, acceptedByLane } = message
  const byLane = lanes.map((lane) => [lane, Number(acceptedByLane[lane] ?? 0n)])
  return {
    received: Number(received),
    accepted: Number(accepted),
    rejected: Number(rejected),
    dropped: Number(dropped),
    acceptedByLane: Object.fromEntries(byLane) as PublishedTotals['acceptedByLane'],
  }
}

function landingOfWire({
  rows,
  duplicates,
  conflicts,
  batches,
  seconds,
  durations,
}: LandingTotalsMessage): LandingTotals {
  return {
    rows: Number(rows),
    duplicates: Number(duplicates),
    conflicts: Number(conflicts),
    batches: Number(batches),
    seconds,
    durations: durations.map((bucket) => ({
      upToSeconds: bucket.upToSeconds ?? null,
      batches: Number(bucket.batches),
    })),
  }
}

function storeOfWire({ eventsBytes, deadLetters, recent, statements }: StoreObservationMessage): StoreObservation {
  return {
    eventsBytes: numberOrNull(eventsBytes),
    deadLetters:
      deadLetters === undefined
        ? null
        : { open: Number(deadLetters.open), redriven: Number(deadLetters.redriven), more: deadLetters.more },
    recent:
      recent === undefined
        ? null
        : {
            events: Number(recent.events),
            types: recent.types.map(({ type, events }) => ({ type, events: Number(events) })),
          },
    statements:
      statements === undefined
        ? null
        : { calls: Number(statements.calls), meanSeconds: statements.meanSeconds, rows: Number(statements.rows) },
  }
}

function numberOrNull(value: bigint | undefined): number | null {
  return value === undefined ? null : Number(value)
}
