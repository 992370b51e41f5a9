// A row of small bars: how a rate has gone.

const bars = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█']

/** The newest values stand at the right end; the highest bar is the highest value. What is not known is a gap. */
export function sparkline(values: readonly (number | null)[], width: number): string {
  const shown = width <= 0 ? [] : values.slice(-width)
  const highest = Math.max(0, ...shown.filter((value) => value !== null))
  const bar = (value: number) => bars[highest === 0 ? 0 : Math.round((value / highest) * (bars.length - 1))]!
  return shown
    .map((value) => (value === null ? ' ' : bar(value)))
    .join('')
    .padStart(Math.max(0, width))
}

/** A bar of blocks for a share from 0 to 1; never empty where there is something. */
export function shareBar(share: number, width: number): string {
  const full = Math.min(width, Math.max(share > 0 ? 1 : 0, Math.round(share * width)))
  return '█'.repeat(Math.max(0, full))
}
