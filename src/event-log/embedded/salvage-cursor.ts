// A group's progress in a stream of a repaired log: missing offsets are settled and counted as lost, so that the ledger
// balances from the start.

import type { AttemptRow, CursorRow, SettledRangeRow } from './log-rows.ts'
import { type OffsetRange, SettledRanges } from './settled-ranges.ts'

/** An entry of the stream. Lists of them are in offset order. */
export interface KeptEntry {
  readonly firstOffset: number
  readonly count: number
  readonly byteLength: number
}

export interface SalvagedCursor {
  readonly row: CursorRow
  readonly ranges: readonly SettledRangeRow[]
  readonly attempts: readonly AttemptRow[]
  readonly waitingEvents: number
  readonly waitingBytes: number
  /** Unsettled events that are missing from the stream. */
  readonly lost: number
}

export interface CursorRemains {
  readonly row: CursorRow
  readonly ranges: readonly SettledRangeRow[]
  readonly attempts: readonly AttemptRow[]
}

export function salvageCursor(
  { row, ranges, attempts }: CursorRemains,
  entries: readonly KeptEntry[],
  nextOffset: number,
): SalvagedCursor {
  const settled = ranges
    .map(({ firstOffset, endOffset }): OffsetRange => ({ start: firstOffset, end: endOffset }))
    .filter(({ start, end }) => start >= row.settledBelow && end <= nextOffset)
    .sort((a, b) => a.start - b.start)
  const isSettled = (offset: number) => settled.some(({ start, end }) => start <= offset && offset < end)
  const waiting = entries.filter(({ firstOffset }) => firstOffset >= row.settledBelow && !isSettled(firstOffset))
  const holes = holesBetween(row.settledBelow, nextOffset, [
    ...settled,
    ...waiting.map(({ firstOffset, count }) => ({ start: firstOffset, end: firstOffset + count })),
  ])
  const all = new SettledRanges()
  let settledBelow = row.settledBelow
  for (const { start, end } of [...settled, ...holes]) all.add(start, end)
  for (const range of all.all()) {
    if (range.start !== settledBelow) continue
    all.remove(range)
    settledBelow = range.end
  }
  const waitingOffsets = new Set(waiting.map(({ firstOffset }) => firstOffset))
  const keptAttempts = attempts.filter(({ firstOffset }) => waitingOffsets.has(firstOffset))
  const key = { groupNumber: row.groupNumber, stream: row.stream }
  return {
    row: {
      ...row,
      settledBelow,
      handedOutBelow: Math.min(Math.max(row.handedOutBelow, settledBelow), nextOffset),
      rangesAhead: all.size,
      attemptsKept: keptAttempts.length,
    },
    ranges: all.all().map(({ start, end }) => ({ ...key, firstOffset: start, endOffset: end })),
    attempts: keptAttempts,
    waitingEvents: waiting.reduce((sum, { count }) => sum + count, 0),
    waitingBytes: waiting.reduce((sum, { byteLength }) => sum + byteLength, 0),
    lost: holes.reduce((sum, { start, end }) => sum + end - start, 0),
  }
}

/** The parts of `from` to `to` that no range covers. */
function holesBetween(from: number, to: number, ranges: readonly OffsetRange[]): OffsetRange[] {
  const holes: OffsetRange[] = []
  let at = from
  for (const { start, end } of [...ranges].sort((a, b) => a.start - b.start)) {
    if (start > at) holes.push({ start: at, end: start })
    at = Math.max(at, end)
  }
  if (at < to) holes.push({ start: at, end: to })
  return holes
}
