// Events per second, of the first and the last of some answers. Null: not known, or not yet.

import type { Lane, LedgerRow, Observed } from './api.ts'

export const lanes: readonly Lane[] = ['high', 'normal', 'low']
export const deadLetterTopic = '_dead'

export interface Rates {
  readonly accepted: number | null
  readonly rejected: number | null
  readonly byLane: Readonly<Record<Lane, number | null>>
  readonly groups: ReadonlyMap<string, GroupRates>
}

export interface GroupRates {
  readonly accepted: number | null
  readonly landed: number | null
  readonly dead: number | null
}

export function groupKey({ topic, group }: { readonly topic: string; readonly group: string }): string {
  return `${topic}/${group}`
}

export function ratesOf(answers: readonly Observed[]): Rates {
  const [first, last] = [answers[0], answers.at(-1)]
  const seconds =
    first === undefined || last === undefined ? 0 : last.status.uptime_seconds - first.status.uptime_seconds
  const groups = new Map((last?.status.ledger ?? []).map((row) => [groupKey(row), groupRates(first, row, seconds)]))
  const withObservations = answers.filter(({ observations }) => observations !== null)
  const [from, to] = [withObservations[0]?.observations, withObservations.at(-1)?.observations]
  const between =
    (from?.at_seconds ?? 0) === (to?.at_seconds ?? 0) ? 0 : (to?.at_seconds ?? 0) - (from?.at_seconds ?? 0)
  const lane = (name: Lane) =>
    perSecond(from?.published?.accepted_by_lane[name], to?.published?.accepted_by_lane[name], between)
  return {
    accepted: acceptedRate(last, groups),
    rejected: perSecond(from?.published?.rejected, to?.published?.rejected, between),
    byLane: { high: lane('high'), normal: lane('normal'), low: lane('low') },
    groups,
  }
}

function groupRates(first: Observed | undefined, row: LedgerRow, seconds: number): GroupRates {
  const before = first?.status.ledger.find((each) => groupKey(each) === groupKey(row))
  const rate = (term: 'accepted' | 'landed' | 'dead') => perSecond(before?.[term], row[term], seconds)
  return { accepted: rate('accepted'), landed: rate('landed'), dead: rate('dead') }
}

/** Each event of a topic is accepted once for all its groups. Dead letters are no traffic of producers. */
function acceptedRate(last: Observed | undefined, groups: ReadonlyMap<string, GroupRates>): number | null {
  const topics = Map.groupBy(last?.status.ledger ?? [], ({ topic }) => topic)
  topics.delete(deadLetterTopic)
  const rates = [...topics.values()].map((rows) => {
    const known = rows.map((row) => groups.get(groupKey(row))?.accepted ?? null).filter((rate) => rate !== null)
    return known.length === 0 ? null : Math.max(...known)
  })
  const known = rates.filter((rate) => rate !== null)
  return known.length === 0 ? null : known.reduce((sum, rate) => sum + rate, 0)
}

/** Null also when the total has fallen, because then it was reset. */
function perSecond(before: number | null | undefined, now: number | null | undefined, seconds: number): number | null {
  if (before == null || now == null || seconds <= 0 || now < before) return null
  return (now - before) / seconds
}
