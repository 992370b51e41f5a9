// The monitor's screen as lines: the layout, and what is dropped when the terminal is small.
//
// Not its job: drawing (screen.ts).

import { stripVTControlCharacters } from 'node:util'
import type { LandingStatements, LogObservation } from '../../pipeline/observations.ts'
import type { Observed } from '../../pipeline/pipeline.ts'
import { formatBytes } from '../doctor-checks.ts'
import { formatSeconds } from '../duration.ts'
import { cutText, formatTime, visibleText } from '../shown-text.ts'
import { formatCount, formatCountOf, formatTable } from '../table.ts'
import type { Style } from '../terminal.ts'
import { formatDuration, formatNumber, formatOpenLetters, formatRate, noneOr } from './format.ts'
import type { MonitorState, ShownRate } from './monitor-state.ts'
import { groupKey, type LandingRates } from './rates.ts'
import { shareBar, sparkline } from './sparkline.ts'

export interface ScreenSize {
  readonly columns: number
  readonly rows: number
}

type Paint = (style: Style, text: string) => string

/** Narrower terminals have no room for two blocks side by side. */
const minColumnsForTwo = 60

/** Width of `accepted   1,234,567  `, the part before the sparkline. */
const rateWidth = 22
const maxNameLength = 20

/** At most `rows - 1` lines, none wider than the terminal. A frame as high as the terminal would flicker. */
export function screenLines(state: MonitorState, size: ScreenSize, nowMs: number, paint: Paint): string[] {
  const { observed } = state
  const { columns } = size
  const title = titleLines(state, columns, nowMs, paint)
  if (observed === null) return title.map((line) => cutLine(line, columns))
  const sections: Record<SectionName, readonly string[]> = {
    title,
    traffic: besides(rateLines(state, paint), typeLines(observed, paint), columns),
    groups: groupLines(state, observed, paint),
    facts: factLines(state, observed),
    warnings: state.warnings.flatMap(({ message }) => warningLines(message, columns, paint)),
  }
  return fit(sections, Math.max(1, size.rows - 1)).map((line) => cutLine(line, columns))
}

type SectionName = 'title' | 'traffic' | 'groups' | 'facts' | 'warnings'

/** What is dropped, in this order: a section is cut from its end, down to this many lines. */
const sacrifices: readonly (readonly [SectionName | 'blank lines', number])[] = [
  ['traffic', 6],
  ['facts', 2],
  ['groups', 6],
  ['blank lines', 0],
  ['warnings', 4],
  ['facts', 0],
  ['traffic', 3],
  ['groups', 2],
  ['warnings', 1],
  ['traffic', 0],
  ['groups', 0],
]

/** Stacks the sections and drops lines until they fit. */
function fit(sections: Record<SectionName, readonly string[]>, maxLines: number): string[] {
  const left = { ...sections }
  const present = () => Object.values(left).filter((lines) => lines.length > 0)
  let blanks = 1
  const over = () => present().reduce((sum, lines) => sum + lines.length, blanks * (present().length - 1)) - maxLines
  for (const [name, floor] of sacrifices) {
    if (over() <= 0) break
    if (name === 'blank lines') blanks = 0
    else left[name] = left[name].slice(0, Math.max(floor, left[name].length - over()))
  }
  const all = present().flatMap((lines, index) => (index === 0 || blanks === 0 ? lines : ['', ...lines]))
  return all.slice(0, maxLines)
}

function titleLines({ observed, outage }: MonitorState, columns: number, nowMs: number, paint: Paint): string[] {
  const keys = 'q quits'
  const first =
    observed === null
      ? 'millrace'
      : `millrace ${visibleText(observed.status.version)}, up ${formatSeconds(observed.status.uptimeSeconds)}`
  const head = paint('bold', first) + ' '.repeat(Math.max(1, columns - first.length - keys.length)) + paint('dim', keys)
  if (outage !== null) {
    const seconds = Math.max(0, Math.floor((nowMs - outage.sinceMs) / 1000))
    const since = formatTime(outage.sinceMs * 1000).slice(11, 19)
    const lost = `no answer since ${since} (${seconds} s), retrying: ${visibleText(outage.reason)}`
    return [head, paint('red', cutText(lost, columns))]
  }
  if (observed === null) return [head, 'connecting ...']
  const { durability, log, store } = observed.status
  const facts = [
    `durability ${durability} (${visibleText(observed.observations.log.persistence)})`,
    `log ${visibleText(log.driver)}, epoch ${formatCount(log.epoch)}`,
    `store ${visibleText(store.driver)}, ${store.up ? 'up' : paint('red', 'down')}`,
  ]
  return [head, facts.join(' · ')]
}

function rateLines({ rates, past }: MonitorState, paint: Paint): (width: number) => string[] {
  return (width) => {
    const line = (rate: ShownRate, style: Style) => {
      const number = `${rate.padEnd(9)}${formatNumber(rates[rate]).padStart(rateWidth - 11)}`
      return `${number}  ${paint(style, sparkline(past[rate], width - rateWidth))}`
    }
    const lanes = rates.acceptedByLane
    const laneTexts =
      lanes === null ? ['unknown'] : Object.entries(lanes).map(([lane, rate]) => `${lane} ${formatNumber(rate)}`)
    return [
      paint('bold', 'EVENTS PER SECOND'),
      line('accepted', 'cyan'),
      line('landed', 'green'),
      line('rejected', 'yellow'),
      line('dead', 'red'),
      `lanes  ${laneTexts.join(' ')}`,
    ]
  }
}

function typeLines({ observations }: Observed, paint: Paint): (width: number) => string[] {
  return (width) => {
    const recent = observations.store?.recent ?? null
    if (recent === null) return [paint('bold', 'NEWEST EVENTS BY TYPE'), 'unknown']
    const heading = paint('bold', `NEWEST ${formatCount(recent.events)} EVENTS BY TYPE`)
    if (recent.events === 0) return [heading, '–']
    const nameWidth = Math.min(maxNameLength, Math.max(...recent.types.map(({ type }) => visibleText(type).length)))
    const barWidth = Math.max(0, width - nameWidth - 8)
    return [
      heading,
      ...recent.types.map(({ type, events }) => {
        const name = cutText(type, nameWidth).padEnd(nameWidth)
        return `${name} ${formatCount(events).padStart(5)} ${paint('blue', shareBar(events / recent.events, barWidth))}`
      }),
    ]
  }
}

/** Two blocks side by side, each half the width; stacked when the terminal is too narrow. */
function besides(left: (width: number) => string[], right: (width: number) => string[], columns: number): string[] {
  if (columns < minColumnsForTwo) return [...left(columns), ...right(columns)]
  const leftWidth = Math.ceil(columns / 2)
  const [lefts, rights] = [left(leftWidth - 2), right(columns - leftWidth)]
  return Array.from({ length: Math.max(lefts.length, rights.length) }, (_, index) => {
    const line = cutLine(lefts[index] ?? '', leftWidth - 2)
    return `${line}${' '.repeat(leftWidth - widthOf(line))}${rights[index] ?? ''}`.trimEnd()
  })
}

function groupLines({ rates }: MonitorState, { status }: Observed, paint: Paint): string[] {
  const rows = status.topics.flatMap(({ name: topic, groups }) =>
    groups.map(({ name, waiting, oldestWaitingSeconds, inFlight, state }) => [
      cutText(topic, maxNameLength),
      cutText(name, maxNameLength),
      formatCount(waiting),
      oldestWaitingSeconds === null ? noneOr(waiting) : formatSeconds(oldestWaitingSeconds),
      formatCount(inFlight),
      formatNumber(rates.groups.get(groupKey(topic, name))?.landed ?? null),
      state.is === 'running' ? state.is : paint('red', state.is),
    ]),
  )
  const heads = ['TOPIC', 'GROUP', 'WAITING', 'OLDEST', 'IN FLIGHT', 'LANDED/S', 'STATE']
  return formatTable(heads, rows, { paint }).split('\n')
}

function factLines({ rates: { landing } }: MonitorState, { status, observations }: Observed): string[] {
  const { log, store } = observations
  const letters = store?.deadLetters ?? null
  const redriven = letters === null || letters.redriven === 0 ? '' : `, ${formatCount(letters.redriven)} redriven`
  const size = store === null || store.eventsBytes === null ? 'unknown' : formatBytes(store.eventsBytes)
  const statements = store?.statements ?? null
  return [
    fact('landing', landingFacts(landing, observations.landing === null, status.store.driver)),
    fact('dead', [`dead letters ${formatOpenLetters(store)}${redriven}`]),
    fact('size', [
      `events table ${size}`,
      `${status.log.driver === 'redis' ? 'Redis memory' : 'log files'} ${used(log)}`,
    ]),
    ...(statements === null ? [] : [fact('postgres', statementFacts(statements))]),
  ]
}

function fact(name: string, facts: readonly string[]): string {
  return `${name.padEnd(9)}${facts.join(' · ')}`
}

function landingFacts(landing: LandingRates | null, isElsewhere: boolean, driver: string): string[] {
  if (isElsewhere) return ['by other processes']
  if (landing === null) return ['unknown']
  const { rowsPerBatch, batchesPerSecond, p50Seconds, p99Seconds, duplicates, conflicts } = landing
  if (rowsPerBatch === null) return ['–']
  return [
    `${formatCountOf(Math.round(rowsPerBatch), 'row')} per ${driver === 'postgres' ? 'COPY' : 'batch'}`,
    formatRate(batchesPerSecond),
    `p50 ${formatDuration(p50Seconds)}, p99 ${formatDuration(p99Seconds)}`,
    // Shown only when there are any, because the line is long.
    ...(duplicates === 0 ? [] : [`${formatCountOf(duplicates, 'duplicate')}, ${formatCountOf(conflicts, 'conflict')}`]),
  ]
}

function statementFacts({ calls, rows, meanSeconds }: LandingStatements): string[] {
  const mean = `mean ${formatDuration(meanSeconds)}`
  return [formatCountOf(calls, 'statement'), formatCountOf(rows, 'row'), mean, 'by pg_stat_statements']
}

function used({ usedBytes, limitBytes }: LogObservation): string {
  if (usedBytes === null) return 'unknown'
  if (limitBytes === null) return formatBytes(usedBytes)
  return `${formatBytes(usedBytes)} of ${formatBytes(limitBytes)} (${Math.floor((usedBytes / limitBytes) * 100)} %)`
}

/** Wraps the message between words; continuation lines are indented. */
function warningLines(message: string, columns: number, paint: Paint): string[] {
  const width = Math.max(10, columns - 2)
  const lines: string[] = []
  for (const word of message.split(' ')) {
    const last = lines.at(-1)
    if (last !== undefined && last.length + 1 + word.length <= width) lines[lines.length - 1] = `${last} ${word}`
    else lines.push(cutText(word, width))
  }
  return lines.map((line, index) => paint('yellow', `${index === 0 ? '!' : ' '} ${line}`))
}

function widthOf(line: string): number {
  return stripVTControlCharacters(line).length
}

/** Cuts a line that is too wide; it loses its colours. */
function cutLine(line: string, width: number): string {
  if (widthOf(line) <= width) return line
  return `${stripVTControlCharacters(line).slice(0, Math.max(0, width - 1))}…`
}
