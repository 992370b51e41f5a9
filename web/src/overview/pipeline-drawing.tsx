import { useLayoutEffect, useRef, useState } from 'react'
import type { DeadLetterTotals, Status } from '../api.ts'
import type { Rates } from '../rates.ts'
import { type Layout, layoutOf, lineOf, type Place } from './pipeline-layout.ts'
import { type Arrow, type Box, pipelineModel } from './pipeline-model.ts'

interface Drawing {
  readonly status: Status
  readonly rates: Rates
  readonly openDeadLetters: DeadLetterTotals | null
}

/** The pipeline as it is, with what flows on every arrow. */
export function PipelineDrawing({ status, rates, openDeadLetters }: Drawing) {
  const [place, width] = useWidth()
  const model = pipelineModel(status, rates, openDeadLetters)
  const layout = layoutOf(model, width)
  const frame = layout.places.get('log')
  return (
    <div ref={place} className="pipeline">
      {width === 0 ? null : (
        <svg width={layout.width} height={layout.height} role="img" aria-label={textOf(model.arrows, model.boxes)}>
          {model.arrows.map((arrow) => (
            <ArrowLine key={`${arrow.from} ${arrow.to}`} arrow={arrow} layout={layout} />
          ))}
          {frame === undefined ? null : <Frame place={frame} title={`Log · ${status.log.driver}`} />}
          {model.boxes.map((box) => {
            const at = layout.places.get(box.id)
            return at === undefined ? null : <BoxShape key={box.id} box={box} place={at} />
          })}
          {model.arrows.map((arrow) => (
            <ArrowLabel key={`${arrow.from} ${arrow.to}`} arrow={arrow} layout={layout} />
          ))}
        </svg>
      )}
      {model.hiddenGroups === 0 ? null : <p className="faint">{model.hiddenGroups} more groups are under Work.</p>}
    </div>
  )
}

function useWidth() {
  const place = useRef<HTMLDivElement>(null)
  const [width, setWidth] = useState(0)
  useLayoutEffect(() => {
    const element = place.current
    if (element === null) return
    setWidth(element.clientWidth)
    const observer = new ResizeObserver(() => setWidth(element.clientWidth))
    observer.observe(element)
    return () => observer.disconnect()
  }, [])
  return [place, width] as const
}

/** For those who cannot see it. */
function textOf(arrows: readonly Arrow[], boxes: readonly Box[]): string {
  const title = (id: string) => boxes.find((box) => box.id === id)?.title ?? id
  const flows = arrows.map(
    ({ from, to, label }) => `${title(from)} to ${title(to)}${label === null ? '' : ` ${label}`}`,
  )
  const states = boxes.filter(({ detail }) => detail !== '').map((box) => `${box.title}: ${box.detail}`)
  return [...flows, ...states].join('; ')
}

function ArrowLine({ arrow, layout }: { readonly arrow: Arrow; readonly layout: Layout }) {
  const line = lineOf(layout, arrow)
  if (line === null) return null
  const names = ['flow', ...(arrow.isMoving ? ['moving'] : []), ...(arrow.isDead ? ['dead'] : [])]
  return <path className={names.join(' ')} d={line.path} />
}

function ArrowLabel({ arrow, layout }: { readonly arrow: Arrow; readonly layout: Layout }) {
  const line = lineOf(layout, arrow)
  if (line?.label == null || arrow.label === null) return null
  const { x, y, anchor } = line.label
  return (
    <text className={arrow.isMoving ? 'flow-label moving' : 'flow-label'} x={x} y={y} textAnchor={anchor}>
      {arrow.label}
    </text>
  )
}

function Frame({ place: { x, y, width, height }, title }: { readonly place: Place; readonly title: string }) {
  return (
    <>
      <rect className="frame" x={x + 0.5} y={y + 0.5} width={width - 1} height={height - 1} rx={8} />
      <text className="box-detail" x={x + 12} y={y + 19}>
        {title}
      </text>
    </>
  )
}

/** About as wide as a letter of the two sizes. */
const letterWidth = { title: 7, detail: 6.4 }

function BoxShape({ box, place: { x, y, width, height } }: { readonly box: Box; readonly place: Place }) {
  const cut = (text: string, size: number) => {
    const most = Math.floor((width - 20) / size)
    return text.length <= most ? text : `${text.slice(0, most - 1)}…`
  }
  const isOneLine = box.detail === ''
  return (
    <g className={`box ${box.tone}`}>
      <title>{isOneLine ? box.title : `${box.title}: ${box.detail}`}</title>
      <rect x={x + 0.5} y={y + 0.5} width={width - 1} height={height - 1} rx={6} />
      <text className="box-title" x={x + 10} y={y + (isOneLine ? height / 2 + 4.5 : 21)}>
        {cut(box.title, letterWidth.title)}
      </text>
      <text className="box-detail" x={x + 10} y={y + 38}>
        {cut(box.detail, letterWidth.detail)}
      </text>
    </g>
  )
}
