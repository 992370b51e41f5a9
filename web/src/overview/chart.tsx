// One chart of the last minutes, and its numbers as a table.

import { useEffect, useRef, useState } from 'react'
import UPlot from 'uplot'
import 'uplot/dist/uPlot.min.css'
import { Unknown } from '../components/unknown.tsx'

export interface Series {
  readonly name: string
  /** One for each time; null: unknown. */
  readonly values: readonly (number | null)[]
  /** The name of a colour in base.css. */
  readonly colour: string
}

interface Charted {
  readonly title: string
  /** Seconds since 1970, ascending. */
  readonly times: readonly number[]
  readonly series: readonly Series[]
  readonly format: (value: number) => string
}

const height = 132
const shownSeconds = 900
/** An older value is not that of now. */
const recentSeconds = 20

export function Chart({ title, times, series, format }: Charted) {
  const last = series.map(({ values }) => values.slice(-recentSeconds).findLast((value) => value !== null) ?? null)
  return (
    <figure className="chart">
      <figcaption>
        <span className="chart-title">{title}</span>
        {series.map(({ name, colour }, index) => (
          <span key={name} className="legend">
            <i className={`swatch ${colour}`} />
            {series.length > 1 ? name : null}{' '}
            <b className="number">{last[index] == null ? <Unknown /> : format(last[index])}</b>
          </span>
        ))}
      </figcaption>
      <Plot times={times} series={series} format={format} />
      <details>
        <summary>Numbers by minute</summary>
        <MinuteTable title={title} times={times} series={series} format={format} />
      </details>
    </figure>
  )
}

type Plotted = Omit<Charted, 'title'>

/** The canvas has the colours of when it was made, so other colours need another canvas. */
function Plot({ times, series, format }: Plotted) {
  const place = useRef<HTMLDivElement>(null)
  const plot = useRef<UPlot | null>(null)
  const look = useLook()
  const names = series.map(({ name, colour }) => `${name} ${colour}`).join()
  const data = [times, ...series.map(({ values }) => values)] as unknown as UPlot.AlignedData
  // biome-ignore lint/correctness/useExhaustiveDependencies: the data of a plot is set by the effect below
  useEffect(() => {
    const element = place.current
    if (element === null) return
    const made = new UPlot(optionsOf(element.clientWidth, series, format), data, element)
    plot.current = made
    const observer = new ResizeObserver(() => made.setSize({ width: element.clientWidth, height }))
    observer.observe(element)
    return () => {
      observer.disconnect()
      made.destroy()
      plot.current = null
    }
  }, [names, look])
  useEffect(() => plot.current?.setData(data))
  return <div ref={place} className="plot" aria-hidden="true" />
}

function optionsOf(width: number, series: readonly Series[], format: (value: number) => string): UPlot.Options {
  const style = getComputedStyle(document.documentElement)
  const colour = (name: string) => style.getPropertyValue(`--${name}`).trim()
  const [ink, line] = [colour('ink-faint'), colour('line')]
  const font = '11px system-ui, sans-serif'
  const axis = { stroke: ink, font, grid: { stroke: line, width: 1 }, ticks: { show: false } }
  return {
    width,
    height,
    legend: { show: false },
    cursor: { y: false, points: { show: false } },
    padding: [8, 16, 0, 0],
    scales: {
      // What was before the server began is shown as empty.
      x: { range: (_plot, _first, last) => [last - shownSeconds, last] },
      y: { range: (_plot, _low, high) => [0, Math.max(high * 1.1, 1e-9)] },
    },
    axes: [
      { ...axis, size: 22, space: 70, values: [[1, '{HH}:{mm}', null, null, null, null, null, null, 1]] },
      { ...axis, size: 58, space: 34, values: (_plot, ticks) => ticks.map(format) },
    ],
    series: [
      {},
      ...series.map(({ name, colour: stroke }) => ({
        label: name,
        stroke: colour(stroke),
        width: 1.5,
        fill: `${colour(stroke)}1c`,
        points: { show: false },
        // Some values are read only every few seconds.
        spanGaps: true,
      })),
    ],
  }
}

/** Changes when the colours of the page do. */
function useLook(): number {
  const [look, setLook] = useState(0)
  useEffect(() => {
    const change = () => setLook((count) => count + 1)
    const system = matchMedia('(prefers-color-scheme: dark)')
    system.addEventListener('change', change)
    const chosen = new MutationObserver(change)
    chosen.observe(document.documentElement, { attributeFilter: ['data-theme'] })
    return () => {
      system.removeEventListener('change', change)
      chosen.disconnect()
    }
  }, [])
  return look
}

const minuteSeconds = 60

function MinuteTable({ title, times, series, format }: Charted) {
  const minutes = Map.groupBy(times.keys(), (index) => Math.floor((times[index] ?? 0) / minuteSeconds))
  const rows = [...minutes].toReversed()
  return (
    <div className="scroll">
      <table>
        <caption className="hidden">{title}, highest of each minute</caption>
        <thead>
          <tr>
            <th scope="col">Minute</th>
            {series.map(({ name }) => (
              <th key={name} scope="col" className="right">
                {name}, highest
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {rows.map(([minute, indexes]) => (
            <tr key={minute}>
              <td className="number">
                {new Date(minute * minuteSeconds * 1000).toLocaleTimeString('en', {
                  hour: '2-digit',
                  minute: '2-digit',
                  hourCycle: 'h23',
                })}
              </td>
              {series.map(({ name, values }) => {
                const highest = highestOf(indexes.map((index) => values[index] ?? null))
                return (
                  <td key={name} className="right number">
                    {highest === null ? <Unknown /> : format(highest)}
                  </td>
                )
              })}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  )
}

function highestOf(values: readonly (number | null)[]): number | null {
  const known = values.filter((value) => value !== null)
  return known.length === 0 ? null : Math.max(...known)
}
