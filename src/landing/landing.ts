// Landing: the group whose handler writes events to the database, one row for each.
//
// Job: pass a turn to the store, dead-letter what can never land, and return the outcome of each delivery. It returns
// only after the store has committed and the dead letters are durable, so nothing is settled that is not safe
// (docs/guarantees.md, G9 and G14).
// Not its job: when to retry (workers/), how rows are written (store/).

import type { Delivery, Outcome } from '../event-log/event-log.ts'
import type { EventPlace, EventStore, LandedCounts } from '../store/event-store.ts'
import type { Logger } from '../telemetry/logger.ts'
import type { Metrics } from '../telemetry/metrics.ts'
import { cutEvent, type GivenUp } from '../workers/dead-letter-event.ts'
import type { DeadLetters } from '../workers/dead-letters.ts'
import type { Handler } from '../workers/handler.ts'

/** The group of every topic that lands its events. */
export const landingGroup = 'landing'

/** A log line about conflicts names this many of them. */
const maxNamedConflicts = 10

export interface LandingOptions {
  readonly store: EventStore
  readonly deadLetters: DeadLetters
  readonly metrics: Metrics
  readonly logger: Logger
  /** A monotonic clock, in milliseconds. */
  readonly monotonicNow: () => number
}

/**
 * Creates the handler that lands events. It throws when the database is unreachable; then nothing was dead-lettered.
 */
export function createLanding({ store, deadLetters, metrics, logger, monotonicNow }: LandingOptions): Handler {
  return async (deliveries, { topic, group }) => {
    const sound = deliveries.filter((delivery) => delivery.batch.damaged !== true)
    const startedAtMs = monotonicNow()
    const landed = await store.landEvents(sound)
    count(metrics, landed, (monotonicNow() - startedAtMs) / 1000)
    if (landed.conflicts.length > 0) noteConflicts(logger, topic, sound, landed.conflicts)
    const givenUp = [...damagedBatches(deliveries), ...poisonEvents(sound, landed)]
    if (givenUp.length > 0) {
      await deadLetters.append(topic, group, givenUp)
      for (const { code } of givenUp) metrics.deadLetters.add(1, { topic, group, code })
    }
    return outcomes(deliveries, givenUp)
  }
}

/** One line for a turn, because a producer that restarts its numbering makes a conflict of each. */
function noteConflicts(
  logger: Logger,
  topic: string,
  sound: readonly Delivery[],
  conflicts: readonly EventPlace[],
): void {
  const events = conflicts.slice(0, maxNamedConflicts).map(({ entry, index }) => {
    const { source, id } = cutEvent(sound[entry]!.batch.bytes, index)
    return { source, id }
  })
  logger.warn(
    { topic, conflicts: conflicts.length, events },
    'events dropped: their source and id belong to landed events with other content, which stay',
  )
}

/** Those that do not match their checksum, as a group gives them up. */
export function damagedBatches(deliveries: readonly Delivery[]): GivenUp[] {
  return deliveries
    .filter((delivery) => delivery.batch.damaged === true)
    .map((delivery) => ({
      delivery,
      index: null,
      code: 'corrupt',
      message: `the entry of ${delivery.batch.count} events does not match its checksum`,
    }))
}

function poisonEvents(sound: readonly Delivery[], { poison }: LandedCounts): GivenUp[] {
  return poison.map(({ entry, index, databaseCode, message }) => ({
    delivery: sound[entry]!,
    index,
    code: 'refused_by_store',
    message: `${databaseCode}: ${message}`,
  }))
}

/** What is not given up is done. */
export function outcomes(deliveries: readonly Delivery[], givenUp: readonly GivenUp[]): Outcome[] {
  const deadOfDelivery = new Map<Delivery, number>()
  for (const { delivery, index } of givenUp) {
    const dead = index === null ? delivery.batch.count : 1
    deadOfDelivery.set(delivery, (deadOfDelivery.get(delivery) ?? 0) + dead)
  }
  return deliveries.map((delivery) => {
    const dead = deadOfDelivery.get(delivery) ?? 0
    return { delivery, landed: delivery.batch.count - dead, dead }
  })
}

function count(metrics: Metrics, landed: LandedCounts, seconds: number): void {
  metrics.landingRows.add(landed.landed)
  metrics.landingDuplicates.add(landed.duplicates)
  metrics.landingConflicts.add(landed.conflicts.length)
  metrics.landingBatchRows.observe(landed.landed)
  metrics.landingDuration.observe(seconds)
  for (const { databaseCode } of landed.poison) metrics.landingPoison.add(1, { code: databaseCode })
}
