// Formats the results as text.

import type { BlockResult } from './block.ts'
import { eventsPerCpuSecond, eventsPerSecond, type RatioRow, type ResultRow } from './evaluate.ts'
import { type BlockRun, isDisturbed, isValid } from './run-block.ts'

const headings = ['', 'measure', 'product', 'floor', 'ratio', '95 %', 'per CPU', 'target', '']

export function formatTable(rows: readonly ResultRow[]): string {
  const cells = [headings, ...rows.map(cellsOf)]
  const widths = headings.map((_, column) => Math.max(...cells.map((row) => row[column]!.length)))
  const isText = (column: number) => column < 2 || column > 6
  return cells
    .map((row) =>
      row
        .map((cell, column) => (isText(column) ? cell.padEnd(widths[column]!) : cell.padStart(widths[column]!)))
        .join('  ')
        .trimEnd(),
    )
    .join('\n')
}

function cellsOf(row: ResultRow): string[] {
  if (row.kind === 'bound') {
    const value = row.value === null ? '-' : `${Number(row.value.toFixed(2))} ${row.unit}`
    return [row.id, row.measure, value, '', '', '', '', `< ${row.below} ${row.unit}`, row.verdict]
  }
  const { ratio, cpuRatio, atLeast } = row
  return [
    row.id,
    row.measure,
    formatRate(row.productPerSecond),
    formatRate(row.floorPerSecond),
    ratio === null ? '-' : ratio.median.toFixed(2),
    ratio === null ? '-' : `${ratio.low.toFixed(2)}..${ratio.high.toFixed(2)}`,
    cpuRatio === null ? '-' : cpuRatio.median.toFixed(2),
    atLeast === null ? '' : `>= ${atLeast}`,
    verdictCell(row),
  ]
}

function verdictCell({ verdict, disturbedRounds, absent }: RatioRow): string {
  if (verdict === 'absent') return `absent: ${absent}`
  return disturbedRounds > 0 ? `${verdict} (${disturbedRounds} rounds disturbed)` : verdict
}

/** One line for a block that has run. */
export function formatRun(run: BlockRun): string {
  const { result } = run
  const name = `round ${run.round}  ${run.name.padEnd(26)}`
  if (result === null) return `${name}  ${run.absent === null ? 'failed' : `absent: ${run.absent}`}`
  const rate = `${formatRate(eventsPerSecond(result)).padStart(9)} events/s  ${cpuMicros(result).padStart(6)} µs CPU/event`
  const notes = [result.durability, ...Object.entries(result.details).map(([key, value]) => `${key} ${shorten(value)}`)]
  if (isDisturbed(run)) notes.push(`DISTURBED: ${percent(run.stolen)} stolen, ${percent(run.foreign)} foreign`)
  if (!isValid(run)) notes.push(`INVALID: ${result.problems.join('; ')}`)
  return `${name}${rate}  ${notes.join(', ')}`
}

function cpuMicros(result: BlockResult): string {
  return result.serviceCpuSeconds === 0 ? '-' : (1e6 / eventsPerCpuSecond(result)).toFixed(2)
}

function formatRate(rate: number | null): string {
  return rate === null ? '-' : Math.round(rate).toLocaleString('en-US')
}

function shorten(value: number | string): string {
  return typeof value === 'number' ? String(Number(value.toFixed(2))) : value
}

function percent(share: number): string {
  return `${(share * 100).toFixed(0)} %`
}
