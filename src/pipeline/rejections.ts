// Runs of rejections: what finds no room is refused in one piece, one rejection for consecutive events.

import type { Rejection } from './pipeline.ts'

export interface IndexRun {
  readonly index: number
  /** How many consecutive indexes, 1 or more. */
  readonly count: number
}

/** How many events were rejected. On the wire a count of 0 means one. */
export function rejectedEvents(rejections: readonly Pick<Rejection, 'count'>[]): number {
  let events = 0
  for (const { count } of rejections) events += count || 1
  return events
}

/** @param indexes ascending. */
export function* runsOf(indexes: Iterable<number>): Generator<IndexRun> {
  let run = { index: 0, count: 0 }
  for (const index of indexes) {
    if (run.count > 0 && index === run.index + run.count) {
      run.count++
      continue
    }
    if (run.count > 0) yield run
    run = { index, count: 1 }
  }
  if (run.count > 0) yield run
}

/** The same rejection for events that have other indexes in the caller's request: `indexes[i]` instead of `i`. */
export function* atIndexes(rejection: Rejection, indexes: readonly number[]): Generator<Rejection> {
  const { index, count = 1 } = rejection
  if (count === 1) yield { ...rejection, index: indexes[index]! }
  else for (const run of runsOf(indexes.slice(index, index + count))) yield { ...rejection, ...run }
}
