// The pipeline as boxes and arrows: what there is, how much flows, and what is stuck. Where each box stands is the layout's.

import type { DeadLetterTotals, GroupStatus, LedgerRow, Status } from '../api.ts'
import { formatCount, formatRate } from '../format.ts'
import { deadLetterTopic, groupKey, lanes, type Rates } from '../rates.ts'

export type Column = 'producers' | 'log' | 'groups' | 'ends'

export interface Box {
  readonly id: string
  readonly column: Column
  readonly title: string
  /** A second, smaller line. */
  readonly detail: string
  readonly tone: 'plain' | 'warn' | 'bad'
}

export interface Arrow {
  readonly from: string
  readonly to: string
  /** Null: nothing is to be said of it. */
  readonly label: string | null
  readonly isMoving: boolean
  readonly isDead?: boolean
}

export interface PipelineModel {
  readonly boxes: readonly Box[]
  readonly arrows: readonly Arrow[]
  /** Groups that have no box of their own. */
  readonly hiddenGroups: number
}

const requestPrefix = '_request.'
const maxGroupBoxes = 8

interface Group {
  readonly topic: string
  readonly status: GroupStatus
  readonly row: LedgerRow | undefined
}

export function pipelineModel(status: Status, rates: Rates, openDeadLetters: DeadLetterTotals | null): PipelineModel {
  const groups = status.topics
    .filter(({ name }) => name !== deadLetterTopic)
    .flatMap(({ name: topic, groups: of }) => of.map((group): Group => withRow(topic, group, status)))
    .toSorted((a, b) => urgency(b) - urgency(a))
  const shown = groups.slice(0, maxGroupBoxes)
  const ends = endBoxes(shown, groups, status, openDeadLetters)
  return {
    boxes: [
      { id: 'producers', column: 'producers', title: 'Producers', detail: 'gRPC, HTTP', tone: 'plain' },
      ...lanes.map((lane) => ({ id: lane, column: 'log', title: lane, detail: '', tone: 'plain' }) as const),
      ...shown.map(groupBox),
      {
        id: 'subscribers',
        column: 'groups',
        title: 'live feed',
        detail: status.subscribers === null ? 'subscribers unknown' : count(status.subscribers, 'subscriber'),
        tone: 'plain',
      },
      ...ends,
    ],
    arrows: [
      ...lanes.map((lane) => arrow('producers', lane, rates.byLane[lane])),
      ...shown.map((group) => arrow('log', idOf(group), rates.groups.get(idOf(group))?.accepted ?? null)),
      { from: 'log', to: 'subscribers', label: null, isMoving: (status.subscribers ?? 0) > 0 },
      ...shown.map((group) => arrow(idOf(group), endOf(group), rates.groups.get(idOf(group))?.landed ?? null)),
      ...shown.filter(({ row }) => (row?.dead ?? 0) > 0).map((group) => deadArrow(group, rates)),
    ],
    hiddenGroups: groups.length - shown.length,
  }
}

function withRow(topic: string, status: GroupStatus, { ledger }: Status): Group {
  return { topic, status, row: ledger.find((row) => row.topic === topic && row.group === status.name) }
}

function idOf({ topic, status }: Group): string {
  return groupKey({ topic, group: status.name })
}

/** What is stuck comes first, then what producers send to, then the rest. */
function urgency({ topic, status, row }: Group): number {
  if (isStuck(status)) return 3
  if (!topic.startsWith(requestPrefix) && topic !== 'heartbeats') return 2
  return (row?.accepted ?? 0) > 0 ? 1 : 0
}

function isStuck({ state }: GroupStatus): boolean {
  return state.is === 'paused' || state.is === 'outage' || state.is === 'no_worker'
}

function groupBox(group: Group): Box {
  const { topic, status } = group
  const { state, waiting, in_flight: inFlight } = status
  const parts = [
    ...(state.is === 'running' ? [] : [state.is.replace('_', ' ')]),
    waiting === null ? 'waiting unknown' : `${formatCount(waiting)} waiting`,
    ...(inFlight !== null && inFlight > 0 ? [`${formatCount(inFlight)} in flight`] : []),
  ]
  const isRequest = topic.startsWith(requestPrefix)
  return {
    id: idOf(group),
    column: 'groups',
    title: isRequest ? topic.slice(requestPrefix.length) : `${topic} → ${status.name}`,
    detail: parts.join(' · '),
    tone: state.is === 'running' ? 'plain' : isStuck(status) ? 'bad' : 'warn',
  }
}

type End = 'events' | 'agents' | 'replies' | 'handlers'

function endOf({ topic, status }: Group): End {
  if (topic.startsWith(requestPrefix)) return 'replies'
  if (status.name === 'landing') return 'events'
  return topic === 'heartbeats' && status.name === 'agents' ? 'agents' : 'handlers'
}

function endBoxes(
  shown: readonly Group[],
  groups: readonly Group[],
  { store }: Status,
  deadLetters: DeadLetterTotals | null,
): Box[] {
  const used = new Set(shown.map(endOf))
  const titles: Readonly<Record<End, string>> = {
    events: 'table events',
    agents: 'table agents',
    replies: 'replies',
    handlers: 'handlers',
  }
  const boxes = Object.entries(titles).filter(([id]) => used.has(id as End))
  const isTable = (id: string) => id === 'events' || id === 'agents'
  return [
    ...boxes.map(([id, title]): Box => {
      const total = sum(groups.filter((group) => endOf(group) === id).map(({ row }) => row?.landed ?? null))
      const down = isTable(id) && !store.up ? `${store.driver} is away` : null
      const detail = down ?? (total === null ? 'total unknown' : `${formatCount(total)} in all`)
      return { id, column: 'ends', title, detail, tone: down === null ? 'plain' : 'bad' }
    }),
    {
      id: 'dead',
      column: 'ends',
      title: 'dead letters',
      detail:
        deadLetters === null
          ? 'open: unknown'
          : `${deadLetters.more ? 'more than ' : ''}${formatCount(deadLetters.open)} open`,
      tone: (deadLetters?.open ?? 0) > 0 ? 'warn' : 'plain',
    },
  ]
}

function arrow(from: string, to: string, rate: number | null): Arrow {
  return { from, to, label: rate === null ? '–' : formatRate(rate), isMoving: (rate ?? 0) > 0 }
}

function deadArrow(group: Group, rates: Rates): Arrow {
  const rate = rates.groups.get(idOf(group))?.dead ?? 0
  const label = rate > 0 ? formatRate(rate) : null
  return { from: idOf(group), to: 'dead', label, isMoving: rate > 0, isDead: true }
}

/** Null when a part of it is not known. */
function sum(values: readonly (number | null)[]): number | null {
  const known = values.filter((value) => value !== null)
  return known.length < values.length ? null : known.reduce((total, value) => total + value, 0)
}

function count(number: number, noun: string): string {
  return `${formatCount(number)} ${noun}${number === 1 ? '' : 's'}`
}
