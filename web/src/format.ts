// Numbers, durations and times as the pages show them.

const counts = new Intl.NumberFormat('en')
const tenths = new Intl.NumberFormat('en', { maximumFractionDigits: 1 })

export function formatCount(count: number): string {
  return counts.format(count)
}

/** `0/s`, `4.2/s`, `1,204/s`. */
export function formatRate(perSecond: number): string {
  if (perSecond > 0 && perSecond < 0.1) return '< 0.1/s'
  return `${perSecond < 10 ? tenths.format(perSecond) : counts.format(Math.round(perSecond))}/s`
}

/** `85 µs`, `12.4 ms`, `3.2 s`, `4 min 10 s`, `2 h 5 min`, `3 d 4 h`. */
export function formatSeconds(seconds: number): string {
  if (seconds === 0) return '0 s'
  if (seconds < 0.001) return `${Math.round(seconds * 1e6)} µs`
  if (seconds < 1) return `${tenths.format(seconds * 1000)} ms`
  if (seconds < 60) return `${tenths.format(seconds)} s`
  const units = [
    { name: 'd', seconds: 86_400 },
    { name: 'h', seconds: 3600 },
    { name: 'min', seconds: 60 },
    { name: 's', seconds: 1 },
  ]
  const first = units.findIndex((unit) => seconds >= unit.seconds)
  let rest = Math.round(seconds)
  const parts = units.slice(first, first + 2).map((unit) => {
    const count = Math.floor(rest / unit.seconds)
    rest -= count * unit.seconds
    return count === 0 ? '' : `${count} ${unit.name}`
  })
  return parts.filter((text) => text !== '').join(' ')
}

export function formatBytes(bytes: number): string {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB']
  const power = bytes < 1 ? 0 : Math.min(units.length - 1, Math.floor(Math.log2(bytes) / 10))
  return `${tenths.format(bytes / 1024 ** power)} ${units[power]}`
}

const today: Intl.DateTimeFormatOptions = { hour: '2-digit', minute: '2-digit', second: '2-digit', hourCycle: 'h23' }

/** Local: `14:03:21.482`, with the date when it is not today's. */
export function formatTime(rfc3339: string): string {
  const date = new Date(rfc3339)
  const clock = `${date.toLocaleTimeString('en', today)}.${String(date.getMilliseconds()).padStart(3, '0')}`
  if (date.toDateString() === new Date().toDateString()) return clock
  return `${date.toLocaleDateString('en-CA')} ${clock}`
}

/** Microseconds since 1970; JavaScript's own dates end at milliseconds. */
export function microsOf(rfc3339: string): number {
  const fraction = /\.(\d+)/.exec(rfc3339)?.[1] ?? ''
  const whole = Date.parse(rfc3339.replace(/\.\d+/, ''))
  return whole * 1000 + Number(fraction.padEnd(6, '0').slice(0, 6))
}

/** JSON over several lines, with the digits that came. */
export function formatJson(value: unknown): string {
  return JSON.stringify(value, null, 2) ?? ''
}
