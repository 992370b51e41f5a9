// The newest events of the live feed, in memory: at most `maxShownEvents`, in a new order of at most four a second.

import { useQuery } from '@tanstack/react-query'
import { useEffect, useRef, useState } from 'react'
import { api, type EventPage, eventOf, type StoredEvent } from '../api.ts'
import { type LiveState, useLive } from '../live.ts'
import { mayDo, useSession } from '../session.ts'

export const maxShownEvents = 2000
const showEveryMs = 250
/** Only the newest of what waits will be shown. */
const maxWaiting = 2 * maxShownEvents
const maxListedEvents = 50
/** So many lines of large events would fill the memory of the tab; a line shows the beginning only. */
const maxKeptLength = 4096

/** A line of the tail: an event, or what is missing before the next one. */
export type TailLine =
  | { readonly is: 'event'; readonly key: number; readonly event: StoredEvent }
  | { readonly is: 'gap'; readonly key: number; readonly dropped: number | null; readonly reason: string }

export interface Tail {
  /** Newest first. */
  readonly lines: readonly TailLine[]
  /** Events that came since the tail began. */
  readonly received: number
  readonly state: LiveState
  /** Why nothing comes; null when it does. */
  readonly problem: string | null
  clear(): void
}

export interface TailFilter {
  readonly topic: string
  readonly type: string
  readonly source: string
  readonly subject: string
}

const feedEvents = ['event', 'gap', 'problem']

interface Waiting {
  readonly name: string
  readonly data: string
}

/**
 * Lists the newest landed events and goes on with what is accepted from there, so that nothing is missing between. The list
 * takes no patterns: with a filter the tail begins now.
 *
 * @param round another number starts again.
 * @param isPaused nothing is shown of what comes, until it goes on.
 */
export function useTail(filter: TailFilter, round: number, isPaused: boolean): Tail {
  const waiting = useRef<Waiting[]>([])
  const nextKey = useRef(0)
  const [lines, setLines] = useState<readonly TailLine[]>([])
  const received = useRef(0)
  const [shownReceived, showReceived] = useState(0)
  const [problem, setProblem] = useState<string | null>(null)
  const mayRead = mayDo(useSession(), 'read')
  const isListed = mayRead && filter.type === '' && filter.source === '' && filter.subject === ''
  const {
    data: list,
    error,
    isPending,
  } = useQuery({
    queryKey: ['newest', filter.topic, round],
    queryFn: ({ signal }) => api.events({ topic: filter.topic, limit: maxListedEvents }, signal),
    enabled: isListed,
    retry: false,
    gcTime: 0,
    staleTime: Number.POSITIVE_INFINITY,
  })
  const state = useLive({
    path: 'v1/events/live',
    query: { ...filter, from: isListed ? (list?.live_cursor ?? 'now') : 'now' },
    names: feedEvents,
    isForeground: true,
    isWanted: !isListed || !isPending,
    onEvent: (name, data) => {
      if (name === 'problem') setProblem(JSON.parse(data).detail)
      else waiting.current.push({ name, data: data.length > maxKeptLength ? withoutData(data) : data })
      received.current += name === 'event' ? 1 : 0
      if (waiting.current.length > maxWaiting) waiting.current = waiting.current.slice(-maxShownEvents)
    },
  })
  useEffect(() => {
    const timer = setInterval(() => {
      const came = waiting.current
      showReceived(received.current)
      if (came.length === 0 || isPaused) return
      waiting.current = []
      setProblem(null)
      // Only the last are read when there are more than are shown.
      const next = came.slice(-maxShownEvents).map((each) => lineOf(each, nextKey.current++))
      setLines((before) => [...next.toReversed(), ...before].slice(0, maxShownEvents))
    }, showEveryMs)
    return () => clearInterval(timer)
  }, [isPaused])
  useEffect(() => {
    if (list !== undefined) setLines(linesOf(list))
  }, [list])
  const clear = () => {
    waiting.current = []
    setLines([])
    received.current = 0
  }
  return { lines, received: shownReceived, state, problem: problem ?? error?.message ?? null, clear }
}

/** Below those that come. */
function linesOf({ events }: EventPage): readonly TailLine[] {
  return events.map((event, index) => ({ is: 'event', key: -1 - index, event }))
}

function withoutData(text: string): string {
  const { event_id, id, type, source, received_at } = eventOf(text)
  return JSON.stringify({ event_id, id, type, source, received_at, data_omitted: 'it is large' })
}

function lineOf({ name, data }: Waiting, key: number): TailLine {
  if (name === 'event') return { is: 'event', key, event: eventOf(data) }
  const { dropped = null, reason } = JSON.parse(data)
  return { is: 'gap', key, dropped, reason }
}
