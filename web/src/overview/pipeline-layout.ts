// Where the boxes of the pipeline stand: side by side where there is room, else below each other.

import type { Arrow, Box, Column, PipelineModel } from './pipeline-model.ts'

export interface Place {
  readonly x: number
  readonly y: number
  readonly width: number
  readonly height: number
}

export interface Layout {
  readonly isWide: boolean
  readonly width: number
  readonly height: number
  /** By the id of the box; `log` is the frame around the lanes. */
  readonly places: ReadonlyMap<string, Place>
}

const minWideWidth = 760
const columns: readonly Column[] = ['producers', 'log', 'groups', 'ends']
const share: Readonly<Record<Column, number>> = { producers: 0.13, log: 0.14, groups: 0.27, ends: 0.17 }
const boxHeight: Readonly<Record<Column, number>> = { producers: 50, log: 30, groups: 50, ends: 50 }
const gap: Readonly<Record<Column, number>> = { producers: 12, log: 6, groups: 12, ends: 12 }
const frame = { top: 28, side: 8, bottom: 8 }

export function layoutOf(model: PipelineModel, width: number): Layout {
  return width >= minWideWidth ? sideBySide(model, width) : belowEachOther(model, width)
}

function sideBySide({ boxes }: PipelineModel, width: number): Layout {
  const heights = columns.map((column) =>
    heightOf(
      boxes.filter((box) => box.column === column),
      column,
    ),
  )
  const height = Math.max(...heights) + 4
  const used = columns.reduce((sum, column) => sum + share[column] * width, 0)
  const space = (width - used) / (columns.length - 1)
  const places = new Map<string, Place>()
  let x = 0
  for (const [index, column] of columns.entries()) {
    const columnWidth = share[column] * width
    const top = (height - (heights[index] ?? 0)) / 2
    placeColumn(places, boxes, column, { x, y: top, width: columnWidth })
    x += columnWidth + space
  }
  return { isWide: true, width, height, places }
}

/** The arrows run beside the boxes. */
const spineWidth = 22
const stageGap = 30
/** A lower box has one line of text, in its middle. */
const titleHeight = 40

function belowEachOther({ boxes }: PipelineModel, width: number): Layout {
  const places = new Map<string, Place>()
  let y = 0
  for (const column of columns) {
    const own = boxes.filter((box) => box.column === column)
    const x = column === 'producers' || column === 'log' ? 0 : spineWidth
    placeColumn(places, boxes, column, { x, y, width: width - x })
    y += heightOf(own, column) + stageGap
  }
  return { isWide: false, width, height: y - stageGap + 4, places }
}

function heightOf(boxes: readonly Box[], column: Column): number {
  const inner = boxes.length * boxHeight[column] + Math.max(0, boxes.length - 1) * gap[column]
  return column === 'log' ? inner + frame.top + frame.bottom : inner
}

function placeColumn(
  places: Map<string, Place>,
  boxes: readonly Box[],
  column: Column,
  { x, y, width }: Omit<Place, 'height'>,
): void {
  const own = boxes.filter((box) => box.column === column)
  const isLog = column === 'log'
  if (isLog) places.set('log', { x, y, width, height: heightOf(own, column) })
  const inset = isLog ? frame.side : 0
  let top = y + (isLog ? frame.top : 0)
  for (const { id } of own) {
    places.set(id, { x: x + inset, y: top, width: width - 2 * inset, height: boxHeight[column] })
    top += boxHeight[column] + gap[column]
  }
}

interface Line {
  readonly path: string
  readonly label: { readonly x: number; readonly y: number; readonly anchor: 'start' | 'end' } | null
}

/** The line of an arrow; null where it is not drawn. */
export function lineOf({ places, isWide }: Layout, { from, to, isDead = false }: Arrow): Line | null {
  const [a, b] = [places.get(from), places.get(to)]
  if (a === undefined || b === undefined) return null
  if (!isWide) return below(a, b)
  // Beside the one of its boxes that has the fewest other lines.
  const isFanOut = from === 'producers' || from === 'log'
  // Lanes are inside the frame of the log.
  const edge = from === 'producers' ? (places.get('log')?.x ?? b.x) : b.x
  return { path: curve(a, b), label: isFanOut ? before({ ...b, x: edge }) : behind(a, isDead) }
}

function curve(a: Place, b: Place): string {
  const [x1, y1, x2, y2] = [a.x + a.width, a.y + a.height / 2, b.x, b.y + b.height / 2]
  const middle = (x1 + x2) / 2
  return `M${x1} ${y1}C${middle} ${y1} ${middle} ${y2} ${x2} ${y2}`
}

const labelDistance = { x: 8, above: 5, below: 15 }

function before({ x, y, height }: Place): Line['label'] {
  return { x: x - labelDistance.x, y: y + height / 2 - labelDistance.above, anchor: 'end' }
}

function behind({ x, y, width, height }: Place, isBelow: boolean): Line['label'] {
  const distance = isBelow ? labelDistance.below : -labelDistance.above
  return { x: x + width + labelDistance.x, y: y + height / 2 + distance, anchor: 'start' }
}

/** The rates of groups stand in the boxes; those of ends would stand on each other. */
function below(a: Place, b: Place): Line {
  const middle = b.y + b.height / 2
  const label = { x: b.x + b.width - 10, y: b.height < titleHeight ? middle + 4 : b.y + 21, anchor: 'end' } as const
  if (a.x > 0) return { path: `M${a.x} ${a.y + a.height / 2 + 8}H5V${middle}H${b.x}`, label: null }
  const [x, y] = [15, a.y + a.height]
  if (b.x >= spineWidth) return { path: `M${x} ${y}V${middle - 8}Q${x} ${middle} ${b.x} ${middle}`, label }
  return { path: `M${x} ${y}V${b.y}`, label }
}
