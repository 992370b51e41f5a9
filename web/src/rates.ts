// Events per second, of the first and the last of some answers. Null: not known, or not yet.

import type { Lane, LedgerRow, Observed } from './api.ts'

export const lanes: readonly Lane[] = ['high', 'normal', 'low']
export const deadLetterTopic = '_dead'

export interface Rates {
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
    byLane: { high: lane('high'), normal: lane('normal'), low: lane('low') },
    groups,
  }
}

function groupRates(first: Observed | undefined, row: LedgerRow, seconds: number): GroupRates {
  const before = first?.status.ledger.find((each) => groupKey(each) === groupKey(row))
  const rate = (term: 'accepted' | 'landed' | 'dead') => perSecond(before?.[term], row[term], seconds)
  return { accepted: rate('accepted'), landed: rate('landed'), dead: rate('dead') }
}

/** Null also when the total has fallen, because then it was reset. */
function perSecond(before: number | null | undefined, now: number | null | undefined, seconds: number): number | null {
  if (before == null || now == null || seconds <= 0 || now < before) return null
  return (now - before) / seconds
}
