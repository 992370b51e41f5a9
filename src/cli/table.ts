// Text tables: columns as wide as their content, numbers right-aligned.

import { stripVTControlCharacters } from 'node:util'
import type { Terminal } from './terminal.ts'

const gap = '  '

/** A table without borders. A column in which every cell is a number, `–` or `unknown` is right-aligned. */
export function formatTable(
  heads: readonly string[],
  rows: readonly (readonly string[])[],
  terminal: Pick<Terminal, 'paint'>,
): string {
  const columns = heads.map((head, index) => {
    const cells = rows.map((row) => row[index] ?? '')
    return {
      width: Math.max(...[head, ...cells].map(widthOf)),
      isNumeric:
        cells.length > 0 && cells.every((cell) => /^(-?[\d,.]+|–|unknown)$/.test(stripVTControlCharacters(cell))),
    }
  })
  const line = (cells: readonly string[]): string => {
    const padded = columns.map(({ width, isNumeric }, index) => {
      const cell = cells[index] ?? ''
      const padding = ' '.repeat(width - widthOf(cell))
      return isNumeric ? padding + cell : cell + padding
    })
    return padded.join(gap).trimEnd()
  }
  return [terminal.paint('bold', line(heads)), ...rows.map(line)].join('\n')
}

/** 1234567 as 1,234,567; null as `unknown`, never as 0. */
export function formatCount(count: number | null): string {
  return count === null ? 'unknown' : String(count).replace(/\B(?=(\d{3})+(?!\d))/g, ',')
}

/** `1 event`, `2,000 events`, `unknown events`. */
export function formatCountOf(count: number | null, noun: string, plural = `${noun}s`): string {
  return `${formatCount(count)} ${count === 1 ? noun : plural}`
}

function widthOf(cell: string): number {
  return stripVTControlCharacters(cell).length
}
