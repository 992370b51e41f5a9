// What the server says of itself, once for all parts of the page: by the live connection, and by asking while it is lost or
// another part of the page has it.

import { useQuery } from '@tanstack/react-query'
import { createContext, type ReactNode, use, useState } from 'react'
import { api, type Observed } from './api.ts'
import { useLive } from './live.ts'

const askEveryMs = 2000
const statusEvents = ['status']

/** The server sends one a second. */
const maxSilenceMs = 5000
const maxAnswerMs = 5000

/** Rates are those of the last few answers. */
const maxRecent = 5

export interface Recent {
  /** Oldest first; empty before the first answer. */
  readonly answers: readonly Observed[]
  /** Why the last answer is not of now; null when it is. */
  readonly problem: Error | null
}

const ObservedContext = createContext<Recent>({ answers: [], problem: null })

export function useObserved(): Recent {
  return use(ObservedContext)
}

/** @param isWanted false before the session may read. */
export function ObservedProvider({ isWanted, children }: { readonly isWanted: boolean; readonly children: ReactNode }) {
  const [answers, setAnswers] = useState<readonly Observed[]>([])
  const add = (answer: Observed) => setAnswers((before) => withNext(before, answer))
  const state = useLive({
    path: 'v1/status/live',
    names: statusEvents,
    onEvent: (_name, data) => add(JSON.parse(data)),
    maxSilenceMs,
    isWanted,
  })
  const { error } = useQuery({
    queryKey: ['status'],
    queryFn: async ({ signal }) => {
      const status = await api.status(AbortSignal.any([signal, AbortSignal.timeout(maxAnswerMs)]))
      add({ status, observations: null })
      return status.uptime_seconds
    },
    enabled: isWanted && state !== 'open',
    refetchInterval: askEveryMs,
  })
  const problem = state === 'open' ? null : error
  return <ObservedContext value={{ answers, problem }}>{children}</ObservedContext>
}

/** Totals begin at 0 with each start of the server. */
function withNext(before: readonly Observed[], next: Observed): readonly Observed[] {
  const last = before.at(-1)
  if (last === undefined || next.status.uptime_seconds < last.status.uptime_seconds) return [next]
  return [...before, next].slice(-maxRecent)
}
