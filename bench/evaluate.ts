// Evaluates the runs of a contest: one row for each ratio and each bound, with its verdict.

import type { BlockResult } from './block.ts'
import type { Bound, Comparison, Contest } from './contests.ts'
import { type BlockRun, isDisturbed, isValid } from './run-block.ts'
import { type Estimate, estimate, median } from './statistics.ts'

/**
 * - `reached`, `missed`: the lower end of the interval against the target; for a bound, the worst run.
 * - `reported`: there is no target.
 * - `absent`: the peer to compare with is not installed.
 * - `invalid`: a run did not pass the gate, so there is no result.
 * - `noisy`: too many rounds were disturbed, so there is no result.
 */
export type Verdict = 'reached' | 'missed' | 'reported' | 'absent' | 'invalid' | 'noisy'

export interface RatioRow extends Comparison {
  readonly kind: 'ratio'
  readonly verdict: Verdict
  /** Medians of events per second. */
  readonly productPerSecond: number | null
  readonly floorPerSecond: number | null
  /** Ratio of events per second, and of events per CPU-second of the service. */
  readonly ratio: Estimate | null
  readonly cpuRatio: Estimate | null
  readonly disturbedRounds: number
  /** Why the peer is absent, and what to install; null when it is there. */
  readonly absent: string | null
}

export interface BoundRow extends Bound {
  readonly kind: 'bound'
  readonly verdict: Verdict
  /** The worst of all runs. */
  readonly value: number | null
}

export type ResultRow = RatioRow | BoundRow

/** Share of the rounds that may be disturbed. */
const maxDisturbedShare = 0.3

export function evaluate(contest: Contest, runs: readonly BlockRun[]): ResultRow[] {
  const ratios = contest.comparisons.map((comparison) => evaluateRatio(comparison, contest.rounds, runs))
  return [...ratios, ...contest.bounds.map((bound) => evaluateBound(bound, runs))]
}

export function eventsPerSecond({ events, seconds }: BlockResult): number {
  return events / seconds
}

export function eventsPerCpuSecond({ events, serviceCpuSeconds }: BlockResult): number {
  return events / serviceCpuSeconds
}

function evaluateRatio(comparison: Comparison, rounds: number, runs: readonly BlockRun[]): RatioRow {
  const pairs = Array.from({ length: rounds }, (_, index) => {
    const ofRound = (name: string) => runs.find((run) => run.round === index + 1 && run.name === name)
    return { product: ofRound(comparison.product), floor: ofRound(comparison.floor) }
  })
  const absent = pairs.flatMap(({ product, floor }) => product?.absent ?? floor?.absent ?? [])[0] ?? null
  const sound = pairs.flatMap(({ product, floor }) =>
    product !== undefined && floor !== undefined && isValid(product) && isValid(floor) ? [{ product, floor }] : [],
  )
  const quiet = sound.filter(({ product, floor }) => !isDisturbed(product) && !isDisturbed(floor))
  const hasNoFigure = sound.length < pairs.length
  const isNoisy = sound.length - quiet.length > maxDisturbedShare * rounds
  // A disturbed result is shown, but does not count.
  const shown = (isNoisy ? sound : quiet).map(({ product, floor }) => ({
    product: product.result!,
    floor: floor.result!,
  }))
  const ratioOf = (rate: (result: BlockResult) => number) =>
    hasNoFigure ? null : estimate(shown.map(({ product, floor }) => rate(product) / rate(floor)))
  const ratio = ratioOf(eventsPerSecond)
  return {
    ...comparison,
    kind: 'ratio',
    verdict: hasNoFigure
      ? absent === null
        ? 'invalid'
        : 'absent'
      : isNoisy
        ? 'noisy'
        : verdictOf(comparison.atLeast, ratio),
    productPerSecond: hasNoFigure ? null : median(shown.map(({ product }) => eventsPerSecond(product))),
    floorPerSecond: hasNoFigure ? null : median(shown.map(({ floor }) => eventsPerSecond(floor))),
    ratio,
    cpuRatio: ratioOf(eventsPerCpuSecond),
    disturbedRounds: sound.length - quiet.length,
    absent,
  }
}

function verdictOf(atLeast: number | null, ratio: Estimate | null): Verdict {
  if (atLeast === null || ratio === null) return 'reported'
  return ratio.low >= atLeast ? 'reached' : 'missed'
}

function evaluateBound(bound: Bound, runs: readonly BlockRun[]): BoundRow {
  const runsOf = (block: string) => runs.filter(({ name }) => name === block)
  const own = runsOf(bound.block)
  const others = bound.above === undefined ? [] : runsOf(bound.above)
  if (own.length === 0 || ![...own, ...others].every(isValid)) {
    return { ...bound, kind: 'bound', verdict: 'invalid', value: null }
  }
  const detailOf = (run: BlockRun | undefined) => Number(run?.result?.details[bound.detail])
  const base = (round: number) => (bound.above === undefined ? 0 : detailOf(others.find((run) => run.round === round)))
  const value = Math.max(...own.map((run) => detailOf(run) - base(run.round)))
  return { ...bound, kind: 'bound', verdict: value < bound.below ? 'reached' : 'missed', value }
}
