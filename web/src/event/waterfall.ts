// The steps of a journey as bars over time: waiting or working, with long gaps shortened.

import type { JourneyStep } from '../api.ts'
import { microsOf } from '../format.ts'

export interface Bar {
  readonly key: number
  readonly step: JourneyStep
  /** From the step before it in the same group. */
  readonly tookMicros: number | null
  /** What was done in that time: an attempt works, everything else waits. */
  readonly is: 'waiting' | 'working'
  /** Shares of the width, 0 to 1. */
  readonly from: number
  readonly to: number
  /** Whether the bar is drawn shorter than it was. */
  readonly isCut: boolean
}

/** A gap longer than so many times the median one is drawn shortened to this. */
const maxGapByMedian = 6

export function waterfallOf(steps: readonly JourneyStep[]): readonly Bar[] {
  const known = steps.flatMap(({ at }) => (at === null ? [] : [microsOf(at)]))
  const scale = scaleOf(known)
  const lastOf = new Map<string, number>()
  let accepted: number | null = null
  return steps.map((step, key) => {
    const group = step.group ?? ''
    const at = step.at === null ? null : microsOf(step.at)
    const before = lastOf.get(group) ?? accepted
    if (at !== null) {
      lastOf.set(group, at)
      if (step.step === 'accepted') accepted = at
    }
    const to = at === null ? 0 : scale.at(at)
    const from = at === null || before === null ? to : Math.min(to, scale.at(before))
    return {
      key,
      step,
      tookMicros: at === null || before === null ? null : Math.max(0, at - before),
      is: step.step === 'ended' || step.step === 'failed' ? 'working' : 'waiting',
      from,
      to,
      isCut: at !== null && before !== null && scale.isCutBetween(before, at),
    }
  })
}

interface Scale {
  at(micros: number): number
  isCutBetween(from: number, to: number): boolean
}

/** Linear, except that long gaps between two times are shortened. */
function scaleOf(times: readonly number[]): Scale {
  const sorted = [...new Set(times)].toSorted((a, b) => a - b)
  const gaps = sorted.slice(1).map((time, index) => time - (sorted[index] as number))
  const median = gaps.toSorted((a, b) => a - b)[Math.floor(gaps.length / 2)] ?? 0
  const longest = Math.max(1, median * maxGapByMedian)
  const cuts = gaps.flatMap((gap, index) => (gap > longest ? [sorted[index] as number] : []))
  const drawn = gaps.map((gap) => Math.min(gap, longest))
  const total = drawn.reduce((sum, gap) => sum + gap, 0) || 1
  const places = new Map<number, number>()
  let sum = 0
  for (const [index, time] of sorted.entries()) {
    places.set(time, sum / total)
    sum += drawn[index] ?? 0
  }
  return {
    at: (micros) => places.get(micros) ?? 0,
    isCutBetween: (from, to) => cuts.some((cut) => cut >= from && cut < to),
  }
}
