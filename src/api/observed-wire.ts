// Converts the types of observations.ts to millrace.v1.Observations. A null value, which is unknown, is left absent.

import type { MessageInitShape } from '@bufbuild/protobuf'
import type {
  ObservationsSchema,
  StoreObservationSchema,
  WatchStatusResponseSchema,
} from '../gen/millrace/v1/admin_pb.ts'
import type { LandingTotals, Observations, PublishedTotals, StoreObservation } from '../pipeline/observations.ts'
import type { Observed } from '../pipeline/pipeline.ts'
import { toStatusMessage } from './wire.ts'

export function toObservedMessage({
  status,
  observations,
}: Observed): MessageInitShape<typeof WatchStatusResponseSchema> {
  return { status: toStatusMessage(status), observations: toObservations(observations) }
}

function toObservations(observations: Observations): MessageInitShape<typeof ObservationsSchema> {
  const { atSeconds, published, landing, log, store } = observations
  return {
    atSeconds,
    ...(published === null ? {} : { published: toPublished(published) }),
    ...(landing === null ? {} : { landing: toLanding(landing) }),
    logUsedBytes: toCount(log.usedBytes),
    logLimitBytes: toCount(log.limitBytes),
    logProblem: log.problem ?? undefined,
    logPersistence: log.persistence,
    ...(store === null ? {} : { store: toStore(store) }),
  }
}

function toPublished({ received, accepted, rejected, dropped, acceptedByLane }: PublishedTotals) {
  const byLane = Object.entries(acceptedByLane).map(([lane, events]) => [lane, BigInt(events)])
  return {
    received: BigInt(received),
    accepted: BigInt(accepted),
    rejected: BigInt(rejected),
    dropped: BigInt(dropped),
    acceptedByLane: Object.fromEntries(byLane) as Record<string, bigint>,
  }
}

function toLanding({ rows, duplicates, conflicts, batches, seconds, durations }: LandingTotals) {
  return {
    rows: BigInt(rows),
    duplicates: BigInt(duplicates),
    conflicts: BigInt(conflicts),
    batches: BigInt(batches),
    seconds,
    durations: durations.map((bucket) => ({
      upToSeconds: bucket.upToSeconds ?? undefined,
      batches: BigInt(bucket.batches),
    })),
  }
}

function toStore(store: StoreObservation): MessageInitShape<typeof StoreObservationSchema> {
  const { eventsBytes, deadLetters, recent, statements } = store
  return {
    eventsBytes: toCount(eventsBytes),
    ...(deadLetters === null
      ? {}
      : { deadLetters: { ...deadLetters, open: BigInt(deadLetters.open), redriven: BigInt(deadLetters.redriven) } }),
    ...(recent === null
      ? {}
      : {
          recent: {
            events: BigInt(recent.events),
            types: recent.types.map(({ type, events }) => ({ type, events: BigInt(events) })),
          },
        }),
    ...(statements === null
      ? {}
      : { statements: { ...statements, calls: BigInt(statements.calls), rows: BigInt(statements.rows) } }),
  }
}

function toCount(count: number | null): bigint | undefined {
  return count === null ? undefined : BigInt(count)
}
