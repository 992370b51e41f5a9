// A row of small bars: the history of a rate.

const bars = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█']

/** The newest value is at the right; the highest value has the highest bar. An unknown value is a gap. */
export function sparkline(values: readonly (number | null)[], width: number): string {
  const shown = width <= 0 ? [] : values.slice(-width)
  const highest = Math.max(0, ...shown.filter((value) => value !== null))
  const bar = (value: number) => bars[highest === 0 ? 0 : Math.round((value / highest) * (bars.length - 1))]!
  return shown
    .map((value) => (value === null ? ' ' : bar(value)))
    .join('')
    .padStart(Math.max(0, width))
}

/** A bar of blocks for a share from 0 to 1; at least one block for a share above 0. */
export function shareBar(share: number, width: number): string {
  const full = Math.min(width, Math.max(share > 0 ? 1 : 0, Math.round(share * width)))
  return '█'.repeat(Math.max(0, full))
}
