// The lines of two texts side by side: those of both, of the first only, of the second only.

export interface ComparedLine {
  readonly is: 'same' | 'removed' | 'added'
  readonly text: string
}

/** Time and memory grow with the product of the lines that differ. */
const maxCells = 1_000_000

/** Null: too much differs to be compared. */
export function compareLines(before: string, after: string): readonly ComparedLine[] | null {
  const [old, now] = [before.split('\n'), after.split('\n')]
  let start = 0
  while (start < old.length && start < now.length && old[start] === now[start]) start++
  let end = 0
  while (end < Math.min(old.length, now.length) - start && old.at(-1 - end) === now.at(-1 - end)) end++
  const middle = changesOf(old.slice(start, old.length - end), now.slice(start, now.length - end))
  if (middle === null) return null
  const same = (text: string): ComparedLine => ({ is: 'same', text })
  return [...old.slice(0, start).map(same), ...middle, ...old.slice(old.length - end).map(same)]
}

/** By the longest common subsequence. */
function changesOf(old: readonly string[], now: readonly string[]): ComparedLine[] | null {
  const width = now.length + 1
  if ((old.length + 1) * width > maxCells) return null
  const longest = new Uint32Array((old.length + 1) * width)
  const cell = (row: number, column: number) => longest[row * width + column] as number
  for (let row = old.length - 1; row >= 0; row--) {
    for (let column = now.length - 1; column >= 0; column--) {
      longest[row * width + column] =
        old[row] === now[column]
          ? cell(row + 1, column + 1) + 1
          : Math.max(cell(row + 1, column), cell(row, column + 1))
    }
  }
  const lines: ComparedLine[] = []
  let [row, column] = [0, 0]
  while (row < old.length || column < now.length) {
    const [left, right] = [old[row], now[column]]
    if (left !== undefined && left === right) {
      lines.push({ is: 'same', text: left })
      row++
      column++
    } else if (left !== undefined && (right === undefined || cell(row + 1, column) >= cell(row, column + 1))) {
      lines.push({ is: 'removed', text: left })
      row++
    } else {
      lines.push({ is: 'added', text: right as string })
      column++
    }
  }
  return lines
}
