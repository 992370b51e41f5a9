// Computes rates from the totals of two observations of one server.
//
// The ledger counts for all servers of a log, the other totals for the observed server only. A rate that is not known, or
// not known yet, is null.

import { type Lane, lanes } from '../../event/event.ts'
import { landingGroup } from '../../landing/landing.ts'
import type { LandingTotals, PublishedTotals } from '../../pipeline/observations.ts'
import type { LedgerRow, Observed } from '../../pipeline/pipeline.ts'
import { quantile } from '../../pipeline/quantile.ts'
import { deadLetterTopic } from '../../workers/dead-letters.ts'

/** Events per second. */
export interface Rates {
  readonly accepted: number | null
  readonly landed: number | null
  readonly dead: number | null
  readonly rejected: number | null
  readonly acceptedByLane: Readonly<Record<Lane, number>> | null
  /** By `groupKey`. */
  readonly groups: ReadonlyMap<string, GroupRates>
  readonly landing: LandingRates | null
}

export interface GroupRates {
  readonly landed: number | null
  /** Growth of the backlog in events per second; negative when the group catches up. */
  readonly growth: number | null
}

/** Landing between the two observations. Rows and durations are null when it landed nothing. */
export interface LandingRates {
  readonly batchesPerSecond: number
  readonly rowsPerBatch: number | null
  readonly p50Seconds: number | null
  readonly p99Seconds: number | null
  readonly duplicates: number
  readonly conflicts: number
}

export const unknownRates: Rates = {
  accepted: null,
  landed: null,
  dead: null,
  rejected: null,
  acceptedByLane: null,
  groups: new Map(),
  landing: null,
}

export function groupKey(topic: string, group: string): string {
  return `${topic}/${group}`
}

/** @param before an earlier observation of the same server, or null. */
export function ratesOf(before: Observed | null, now: Observed): Rates {
  if (before === null) return unknownRates
  const rowsBefore = new Map(before.status.ledger.map((row) => [groupKey(row.topic, row.group), row]))
  const seconds = now.status.uptimeSeconds - before.status.uptimeSeconds
  const changes = now.status.ledger.map((row) => ({
    row,
    rate: (term: LedgerTerm) => {
      const earlier = rowsBefore.get(groupKey(row.topic, row.group))
      return earlier === undefined ? null : perSecond(earlier[term], row[term], seconds)
    },
  }))
  // Dead letters in their own topic are not traffic of producers.
  const others = changes.filter(({ row }) => row.topic !== deadLetterTopic)
  const published = publishedRates(before, now)
  return {
    accepted: sum(topicsOf(others).map((rows) => most(rows.map(({ rate }) => rate('accepted'))))),
    landed: sum(others.filter(({ row }) => row.group === landingGroup).map(({ rate }) => rate('landed'))),
    dead: sum(others.map(({ rate }) => rate('dead'))),
    rejected: published?.rejected ?? null,
    acceptedByLane: published?.byLane ?? null,
    groups: new Map(
      changes.map(({ row, rate }) => [
        groupKey(row.topic, row.group),
        { landed: rate('landed'), growth: change(rowsBefore.get(groupKey(row.topic, row.group)), row, seconds) },
      ]),
    ),
    landing: landingRates(before, now),
  }
}

type LedgerTerm = 'accepted' | 'landed' | 'dead'

function topicsOf<T extends { readonly row: LedgerRow }>(changes: readonly T[]): T[][] {
  return [...Map.groupBy(changes, ({ row }) => row.topic).values()]
}

/** Null also when the total has fallen, because then it was reset. */
function perSecond(before: number | null, now: number | null, seconds: number): number | null {
  if (before === null || now === null || seconds <= 0 || now < before) return null
  return (now - before) / seconds
}

function change(before: LedgerRow | undefined, now: LedgerRow, seconds: number): number | null {
  if (before === undefined || before.waiting === null || now.waiting === null || seconds <= 0) return null
  return (now.waiting - before.waiting) / seconds
}

/** Each event of a topic is accepted once for all its groups; a newer group has counted fewer. */
function most(rates: readonly (number | null)[]): number | null {
  const known = rates.filter((rate) => rate !== null)
  return known.length === 0 ? null : Math.max(...known)
}

function sum(rates: readonly (number | null)[]): number | null {
  const known = rates.filter((rate) => rate !== null)
  return known.length === 0 ? null : known.reduce((total, rate) => total + rate, 0)
}

function publishedRates(before: Observed, now: Observed) {
  const [earlier, later, seconds] = totalsOf(before, now, ({ observations }) => observations.published)
  if (earlier === null || later === null) return null
  const rejected = perSecond(earlier.rejected, later.rejected, seconds)
  const laneRates = lanes.map(
    (lane) => [lane, perSecond(earlier.acceptedByLane[lane], later.acceptedByLane[lane], seconds)] as const,
  )
  if (laneRates.some(([, rate]) => rate === null)) return null
  return { rejected, byLane: Object.fromEntries(laneRates) as Record<Lane, number> }
}

function landingRates(before: Observed, now: Observed): LandingRates | null {
  const [earlier, later, seconds] = totalsOf(before, now, ({ observations }) => observations.landing)
  if (earlier === null || later === null || seconds <= 0 || later.batches < earlier.batches) return null
  const batches = later.batches - earlier.batches
  const durations = later.durations.map((bucket, index) => ({
    ...bucket,
    batches: bucket.batches - (earlier.durations[index]?.batches ?? 0),
  }))
  return {
    batchesPerSecond: batches / seconds,
    rowsPerBatch: batches === 0 ? null : (later.rows - earlier.rows) / batches,
    p50Seconds: quantile(durations, 0.5),
    p99Seconds: quantile(durations, 0.99),
    duplicates: later.duplicates - earlier.duplicates,
    conflicts: later.conflicts - earlier.conflicts,
  }
}

function totalsOf<T extends PublishedTotals | LandingTotals>(
  before: Observed,
  now: Observed,
  totals: (observed: Observed) => T | null,
): readonly [T | null, T | null, number] {
  return [totals(before), totals(now), now.observations.atSeconds - before.observations.atSeconds]
}
